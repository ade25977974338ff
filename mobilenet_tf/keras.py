"""The one door to TensorFlow and tf_keras: quiet logs first, then the imports.

tensorflow-model-optimization and the TFLite converter need tf_keras (Keras 2) models. Importing
it here, by name, does not depend on `TF_USE_LEGACY_KERAS` being set before anything else runs.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
warnings.filterwarnings("ignore", module=r"(tensorflow|tf_keras|keras)\b.*")

from mobilenet_tf.system.quiet import quiet_stderr  # noqa: E402  # the environment comes first

with quiet_stderr():  # the C++ runtime writes to file descriptor 2 before its log level applies
    import tensorflow as tf
    import tf_keras as keras

tf.get_logger().setLevel("ERROR")
# A GPU would round the inputs of float32 products to 10 bits, and fake quantization with them.
tf.config.experimental.enable_tensor_float_32_execution(False)

__all__ = ["keras", "tf"]

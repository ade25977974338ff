"""The one door to TensorFlow and tf_keras: quiet logs first, then the imports.

tensorflow-model-optimization and the TFLite converter need tf_keras (Keras 2) models. Importing
it here, by name, does not depend on `TF_USE_LEGACY_KERAS` being set before anything else runs.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
warnings.filterwarnings("ignore", module=r"(tensorflow|tf_keras|keras)\b.*")

from absl import logging as absl_logging  # noqa: E402  # the environment comes first

from mobilenet_tf.system.quiet import quiet_stderr  # noqa: E402

with quiet_stderr():  # the C++ runtime writes to file descriptor 2 before its log level applies
    import tensorflow as tf
    import tf_keras as keras
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2 as freeze_variables,
    )

tf.get_logger().setLevel("ERROR")
# absl's warnings are for developers: of gradients that an export leaves out, of deprecated parts.
# Not by its logger's level, which the TFLite converter sets anew from this.
absl_logging.set_verbosity(absl_logging.ERROR)
# A GPU would round the inputs of float32 products to 10 bits, and fake quantization with them.
tf.config.experimental.enable_tensor_float_32_execution(False)

__all__ = [
    "add_over_workers",
    "count_replicas",
    "freeze_variables",
    "keras",
    "largest_over_workers",
    "quantize_tflite",
    "tf",
    "unwrap",
]


def unwrap(layer: Any) -> Any:
    """Return a layer itself, taken out of the wrapper of fake quantization if it is in one."""
    return getattr(layer, "layer", layer)


def quantize_tflite(content: bytes) -> bytes:
    """Return the int8 file, ends included, of a float one that says the range of every tensor."""
    from tensorflow.lite.python.convert import mlir_quantize  # what the converter calls itself

    return bytes(mlir_quantize(content, input_data_type=tf.int8, output_data_type=tf.int8))


def count_replicas() -> int:
    """Return how many workers compute the step that is being traced; 1 outside of one."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def add_over_workers(values: Any) -> Any:
    """Return the sums of tensors over all workers; gradients go back to all of them."""
    if count_replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def largest_over_workers(value: Any) -> Any:
    """Return the largest of a scalar over all workers, without a gradient."""
    if count_replicas() == 1:
        return value
    gathered = tf.distribute.get_replica_context().all_gather(value[tf.newaxis], axis=0)
    return tf.reduce_max(gathered)

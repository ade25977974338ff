"""A .tflite file as C, for microcontrollers without a file system."""

from __future__ import annotations

import re

_BYTES_A_LINE = 16


def format_c_array(content: bytes, name: str) -> str:
    """Return a header, C11 or C++11, with the file as a constant aligned as its tensors need it.

    TensorFlow Lite Micro reads the weights where they are, in flash.
    """
    identifier = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not identifier or identifier[0].isdigit():
        identifier = f"model_{identifier}"
    lines = (
        ", ".join(f"0x{byte:02x}" for byte in content[start : start + _BYTES_A_LINE])
        for start in range(0, len(content), _BYTES_A_LINE)
    )
    body = ",\n  ".join(lines)
    return f"""#pragma once

#ifndef __cplusplus
#include <stdalign.h>
#endif

static const unsigned int {identifier}_bytes = {len(content)};

alignas(16) static const unsigned char {identifier}[{len(content)}] = {{
  {body}
}};
"""

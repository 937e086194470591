#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The generated table of endpoints is what the generator makes of the data.
exec "${PYTHON:-python3}" "${srcdir:-.}/src/endpoint/gen_table.py" --check

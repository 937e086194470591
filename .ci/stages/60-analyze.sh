#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gcc -fanalyzer, clang-tidy and cppcheck over src
exec bash tests/lint/analyze.sh

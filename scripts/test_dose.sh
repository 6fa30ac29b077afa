#!/usr/bin/env bash
# Tests dose with pyRadPlan, which holds older NumPy and pydantic, in an environment of its own:
#
#   scripts/test_dose.sh [FOLDER]      FOLDER: where the environment is or is to be made, .venv-dose by default
#
# What needs real data is skipped where ../shared/data is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-.venv-dose}
[ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip --disable-pip-version-check install -qq -e '.[dose]' 'pytest>=8' 'hypothesis>=6.100'
"$folder/bin/python" -m pytest -p no:cacheprovider --disable-warnings \
  tests/evaluation/test_dose.py tests/evaluation/test_stopping_power.py tests/evaluation/test_dose_comparison.py

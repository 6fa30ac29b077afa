#!/usr/bin/env bash
# Trains, or goes on training, the recipes of the model zoo for some minutes, scores them, and leaves all that the next
# call needs in one folder:
#
#   scripts/train_zoo.sh [--device auto|cuda|cpu] [--minutes 9] [--out FOLDER] [--from FOLDER] [--packed FOLDER]
#                        [--compact] [--set key=value]... [--wheels FOLDER] [RECIPE ...]
#
# The minutes are those of the whole call. docs/how-to/train-the-zoo.md says how to use it; --help says what the options
# mean. Needs torch 2.11 or newer, lightning-fabric, NumPy, safetensors, PyYAML, pydantic and rich; --wheels installs
# those of them that lie in FOLDER as wheels into a temporary folder, without a network. PYTHON: the interpreter.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

words=()
wheels=
while [ $# -gt 0 ]; do
  case $1 in
    --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
    --wheels=*) wheels=${1#*=}; shift ;;
    *) words+=("$1"); shift ;;
  esac
done

python=${PYTHON:-}
[ -n "$python" ] || { [ -x "$root/.venv/bin/python" ] && python=$root/.venv/bin/python || python=python3; }
export PYTHONPATH=$root/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

if [ -n "$wheels" ]; then
  [ -d "$wheels" ] || { echo "error: no folder $wheels; expected the folder that --wheels names" >&2; exit 1; }
  compgen -G "$wheels/*.whl" > /dev/null || { echo "error: no wheel (*.whl) in the folder $wheels" >&2; exit 1; }
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --disable-pip-version-check --target "$site" "$wheels"/*.whl
  export PYTHONPATH=$site:$PYTHONPATH
fi

"$python" - <<'CHECK'
import importlib, importlib.metadata, importlib.util, sys

NEEDED = {"torch": "torch>=2.11", "lightning_fabric": "lightning-fabric==2.6.6", "numpy": "numpy",
          "safetensors": "safetensors", "yaml": "PyYAML", "pydantic": "pydantic>=2.10,<2.14", "rich": "rich>=13"}
missing = []
for module, requirement in NEEDED.items():
    try:
        # the large ones take seconds to import, and are imported soon enough
        if module not in ("torch", "lightning_fabric"):
            importlib.import_module(module)
        elif importlib.util.find_spec(module) is None:
            raise ImportError("not installed")
    except ImportError as error:
        missing.append(f"'{requirement}'")
        print(f"error: {module}: {error}", file=sys.stderr)
if sys.version_info < (3, 11):
    sys.exit(f"error: Python {sys.version.split()[0]}; mr2ct needs 3.11 or newer: PYTHON=path scripts/train_zoo.sh ...")
if missing:
    sys.exit("error: training needs more than is installed here: "
             f"{sys.executable} -m pip install {' '.join(missing)}\n"
             "       without a network: bring them as wheels and name their folder, --wheels FOLDER")
version = importlib.metadata.version("torch")
if tuple(int(n) for n in version.split("+")[0].split(".")[:2]) < (2, 11):
    print(f"note: torch {version} is older than 2.11", file=sys.stderr)
CHECK

"$python" "$root/scripts/train_zoo.py" ${words[@]+"${words[@]}"}

"""`python -m mr2ct` is `mr2ct`, for environments whose scripts are not on the PATH."""

from __future__ import annotations

from mr2ct.cli.main import main

if __name__ == "__main__":
    main()

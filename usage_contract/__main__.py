"""`python -m usage_contract`: print the effective OpenAPI document of a level."""

from __future__ import annotations

import argparse
import io
import json
import sys

from ruamel.yaml import YAML

from usage_contract import LEVELS, OverlayError, SourceError, load


def main(arguments: list[str] | None = None) -> int:
    """Print the document as YAML or JSON on standard output."""
    parser = argparse.ArgumentParser(prog="usage-contract", description=__doc__)
    parser.add_argument("--level", choices=LEVELS, default="documented", help="default: %(default)s")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        document = load(options.level).document
    except (SourceError, OverlayError) as error:
        print(f"usage-contract: {error}", file=sys.stderr)
        return 4
    if options.format == "json":
        print(json.dumps(document, indent=2))
    else:
        yaml = YAML()
        yaml.representer.ignore_aliases = lambda _: True
        text = io.StringIO()
        yaml.dump(document, text)
        print(text.getvalue(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

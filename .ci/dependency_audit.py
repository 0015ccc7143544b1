"""Whether an advisory is known for a version in requirements.lock, by pip-audit: `python .ci/dependency_audit.py`.

pip-audit says "no known vulnerabilities" too where it reached nobody to ask; this says then that nothing was audited.
Exit code 1: an advisory is known. 0: none is, or nobody could be asked, which is said.
"""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> int:
    """The exit code."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip"]
    done = subprocess.run([*command, "--format", "json", "--timeout", "10"], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stdout.write(f"NOT AUDITED: pip-audit could not ask anybody\n{done.stderr[-600:]}\n")
        return 0
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        sys.stdout.write(f"NOT AUDITED: no advisories of {len(packages)} packages could be fetched from here\n")
        return 0
    known = [(package["name"], package["version"], vuln) for package in asked for vuln in package["vulns"]]
    for name, version, vuln in known:
        fixed = ", ".join(vuln["fix_versions"]) or "none yet"
        sys.stdout.write(f"{name} {version}: {vuln['id']}, fixed in {fixed}\n")
    left = sorted({package["name"] for package in packages if "skip_reason" in package})
    sys.stdout.write(
        f"{len(asked)} packages audited, {len(known)} advisories; not audited: {', '.join(left) or 'none'}\n"
    )
    return 1 if known else 0


if __name__ == "__main__":
    sys.exit(main())

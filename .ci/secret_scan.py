"""Whether a secret was committed, by detect-secrets over the files that git knows: `python .ci/secret_scan.py`.

Tests are about made-up secrets, so there it looks for those only whose form says that they are real. Exit code 1:
found, and where is said; 2: the scan itself finds nothing.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings, transient_settings

ROOT = Path(__file__).parents[1]
IN_TESTS = (
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "CloudantDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TwilioKeyDetector",
)
# What stays, and why.
KNOWN = {
    ("docs/alerts.md", "Slack Token"): "an address that ends in an ellipsis",
    ("docs/observability.md", "Hex High Entropy String"): "the id of a trace",
    ("docs/operations.md", "Basic Auth Credentials"): "the form of a connection string",
    ("docs/settings.md", "Basic Auth Credentials"): "the form of a connection string",
    ("functions/dashboard/static/vendor/manifest.json", "Hex High Entropy String"): "checksums",
    ("functions/dashboard/static/views/en.js", "Secret Keyword"): "words for fields",
    ("functions/system/openapi.json", "Secret Keyword"): "the example of a login",
    ("functions/system/openapi.json", "Slack Token"): "an address that names nobody",
    ("infra/doctor/configured.py", "Basic Auth Credentials"): "the form of a connection string",
    ("infra/settings_reference.py", "Basic Auth Credentials"): "the form of a connection string",
    ("layers/core/python/openmanager/notify/described.py", "Slack Token"): "an address that names nobody",
    ("layers/core/python/openmanager/parameters.py", "Secret Keyword"): "names of variables, and where they stand",
    ("layers/core/python/openmanager/security/login.py", "Secret Keyword"): "the example of a login",
    ("layers/core/python/openmanager/security/passwords.py", "Secret Keyword"): "how a hash is written",
    ("models/manifest.json", "Hex High Entropy String"): "checksums",
    ("tests/tls/receiver.pem", "Private Key"): "of a receiver that tests start on 127.0.0.1",
}
# Made elsewhere and unchanged here; hashes; recordings.
LEFT_OUT = ("functions/system/vendor/", "requirements.lock", "models/training/requirements.lock", "tests/captures/")


def scan(paths: Iterable[str]) -> set[tuple[str, str, int]]:
    """(path, type, line) of what looks like a secret."""
    found = SecretsCollection()
    for path in paths:
        found.scan_file(path)
    return {(path, secret.type, secret.line_number) for path, secret in found}


def works() -> bool:
    """Whether a made-up key is found, by either set of detectors."""
    with tempfile.NamedTemporaryFile("w", suffix=".py", dir=ROOT) as file:
        file.write("-----BEGIN " + "RSA PRIVATE KEY-----\n")
        file.flush()
        with default_settings():
            everywhere = scan([file.name])
        with transient_settings({"plugins_used": [{"name": name} for name in IN_TESTS]}):
            return bool(everywhere) and bool(scan([file.name]))


def main() -> int:
    """The exit code."""
    os.chdir(ROOT)
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout.split("\n")
    files = [path for path in listed if path and not path.startswith(LEFT_OUT)]
    if not works():
        sys.stdout.write("the scan finds not even a private key\n")
        return 2
    with default_settings():
        found = scan(path for path in files if not path.startswith("tests/"))
    with transient_settings({"plugins_used": [{"name": name} for name in IN_TESTS]}):
        found |= scan(path for path in files if path.startswith("tests/"))
    new = sorted(where for where in found if where[:2] not in KNOWN)
    for path, kind, line in new:
        sys.stdout.write(f"{path}:{line}: {kind}\n")
    sys.stdout.write(f"{len(files)} files scanned, {len(new)} findings, {len(found) - len(new)} known ones\n")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())

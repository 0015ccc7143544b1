"""What a server may be called."""

import re

SERVER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
SERVER_ID_RULE = "must be 1 to 128 letters, digits and . _ : - and begin with a letter or digit"

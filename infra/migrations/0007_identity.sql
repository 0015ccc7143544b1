-- People and programs that may come in.

-- `password` is openmanager.security.passwords' scrypt line.
CREATE TABLE users (
    name text PRIMARY KEY,
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'auditor')),
    password text NOT NULL,
    enabled boolean NOT NULL,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    changed_by text NOT NULL
);

-- `digest` is the SHA-256 of the key, which itself is nowhere; Redis holds a copy of the rows for the doors.
CREATE TABLE api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'agent', 'auditor')),
    servers text[] CHECK ((role = 'agent') = (servers IS NOT NULL)),
    digest text NOT NULL,
    created timestamptz NOT NULL,
    created_by text NOT NULL,
    expires timestamptz NOT NULL
);

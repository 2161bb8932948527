-- The file of the embedded backbone. Small rows that change often are apart from the bodies, so
-- that a claim does not rewrite them.
CREATE TABLE IF NOT EXISTS lane (
  id   INTEGER PRIMARY KEY,
  node TEXT NOT NULL,
  lane TEXT NOT NULL,
  UNIQUE (node, lane)
);
CREATE TABLE IF NOT EXISTS counter (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  last INTEGER NOT NULL -- the newest frame's seq; also moves when frames are released
);
INSERT OR IGNORE INTO counter (one, last) VALUES (1, 0);
CREATE TABLE IF NOT EXISTS frame (
  seq    INTEGER PRIMARY KEY,
  lane   INTEGER NOT NULL REFERENCES lane (id),
  key    TEXT NOT NULL,
  size   INTEGER NOT NULL,
  holder INTEGER, -- the consumer that has it; NULL while it waits
  tries  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS frame_waiting ON frame (lane, seq) WHERE holder IS NULL;
CREATE INDEX IF NOT EXISTS frame_held ON frame (holder, lane, key) WHERE holder IS NOT NULL;
CREATE TABLE IF NOT EXISTS content (
  seq        INTEGER PRIMARY KEY,
  id         TEXT NOT NULL,
  attributes TEXT NOT NULL, -- JSON: [[name, value], ...]
  body       BLOB NOT NULL
);
CREATE TRIGGER IF NOT EXISTS frame_gone AFTER DELETE ON frame BEGIN
  DELETE FROM content WHERE seq = old.seq;
END;
-- Who reads which lane; dead when alive_until (milliseconds since 1970) has passed.
CREATE TABLE IF NOT EXISTS consumer (
  token       INTEGER PRIMARY KEY,
  lane        INTEGER NOT NULL,
  alive_until INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS probe (
  token INTEGER PRIMARY KEY
);

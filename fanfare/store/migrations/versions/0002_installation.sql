-- One row at the most: which installation this database belongs to, and by what its secret is recognised.
CREATE TABLE installation (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    id     text NOT NULL,
    secret text NOT NULL DEFAULT ''
);

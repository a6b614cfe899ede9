-- The store's database. `app` may write it; `gateway` may only read.
CREATE TABLE product (
    id          integer PRIMARY KEY,
    name        text    NOT NULL,
    category    text    NOT NULL,
    price_cents integer NOT NULL
);
CREATE TABLE invoice (
    id           integer PRIMARY KEY,
    account      text    NOT NULL,
    amount_cents integer NOT NULL,
    due          date    NOT NULL
);
CREATE INDEX ON product (category);
CREATE INDEX ON invoice (account);

INSERT INTO product
SELECT n, (ARRAY['Oak', 'Birch', 'Steel', 'Linen', 'Copper'])[n % 5 + 1] || ' ' ||
          (ARRAY['desk', 'chair', 'lamp', 'shelf'])[n % 4 + 1],
       (ARRAY['desks', 'chairs', 'lamps', 'shelves'])[n % 4 + 1], 1900 + n * 37 % 9000
FROM generate_series(1, 200) n;

INSERT INTO invoice
SELECT n, (ARRAY['alice', 'bob', 'carol'])[n % 3 + 1], 500 + n * 113 % 7000,
       date '2026-01-01' + n
FROM generate_series(1, 60) n;

GRANT SELECT ON product, invoice TO gateway, app;
GRANT INSERT, UPDATE, DELETE ON product, invoice TO app;

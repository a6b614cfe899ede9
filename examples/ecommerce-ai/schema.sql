-- The shop, for SQLite and PostgreSQL alike. Times are seconds since 1970, days the same
-- divided by 86400, money is in cents: so both databases reckon the same.

CREATE TABLE categories (
    id   BIGINT PRIMARY KEY,
    name TEXT NOT NULL
);

-- What a category sells: "Espresso Machine". The names of products are made of them, and
-- a picture's file name is searched for their slug, "espresso-machine".
CREATE TABLE kinds (
    category_id BIGINT NOT NULL REFERENCES categories (id),
    n           BIGINT NOT NULL, -- 0 … 9 in its category
    name        TEXT NOT NULL,
    slug        TEXT NOT NULL,
    PRIMARY KEY (category_id, n)
);

CREATE TABLE products (
    id          BIGINT PRIMARY KEY,
    category_id BIGINT NOT NULL REFERENCES categories (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    image       TEXT NOT NULL,
    cost_cents  BIGINT, -- what we pay; unknown where a partner sells it
    price_cents BIGINT NOT NULL
);
CREATE INDEX products_by_category ON products (category_id);

CREATE TABLE customers (
    id      BIGINT PRIMARY KEY,
    name    TEXT NOT NULL,
    country TEXT NOT NULL,
    since   BIGINT NOT NULL -- a day
);

CREATE TABLE orders (
    id           BIGINT PRIMARY KEY,
    customer_id  BIGINT NOT NULL REFERENCES customers (id),
    product_id   BIGINT NOT NULL REFERENCES products (id),
    quantity     BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL,
    placed_at    BIGINT NOT NULL,
    charged_back BIGINT NOT NULL -- 1: the money went back
);
CREATE INDEX orders_by_time ON orders (placed_at);
CREATE INDEX orders_by_customer ON orders (customer_id, placed_at);
CREATE INDEX orders_by_product ON orders (product_id);

-- All channels together, a row a day.
CREATE TABLE sales (
    product_id BIGINT NOT NULL REFERENCES products (id),
    day        BIGINT NOT NULL,
    units      BIGINT NOT NULL,
    PRIMARY KEY (product_id, day)
);

CREATE TABLE competitor_prices (
    product_id  BIGINT NOT NULL REFERENCES products (id),
    competitor  TEXT NOT NULL,
    price_cents BIGINT NOT NULL,
    seen        BIGINT NOT NULL, -- a day
    PRIMARY KEY (product_id, competitor)
);

CREATE TABLE faqs (
    id       BIGINT PRIMARY KEY,
    question TEXT NOT NULL,
    answer   TEXT NOT NULL
);

CREATE TABLE faq_keywords (
    faq_id  BIGINT NOT NULL REFERENCES faqs (id),
    keyword TEXT NOT NULL, -- lower case; also the beginning of a word
    PRIMARY KEY (faq_id, keyword)
);

-- What people have written about pictures.
CREATE TABLE image_tags (
    image TEXT NOT NULL,
    tag   TEXT NOT NULL,
    PRIMARY KEY (image, tag)
);

-- What PostgreSQL does in its own way: the time, and search by words (tsvector). The
-- functions have the names and the columns of SQLite's tables, so that one and the same
-- query of switchgear.yaml asks either; both read "red" "kettle" as: both words.

CREATE VIEW clock AS
SELECT CAST(extract(epoch FROM now()) AS BIGINT)         AS now,
       CAST(extract(epoch FROM now()) AS BIGINT) / 86400 AS today;

CREATE TABLE product_search (
    product_id  BIGINT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    words       TSVECTOR GENERATED ALWAYS AS
                (to_tsvector('english', name || ' ' || description)) STORED
);
CREATE INDEX product_search_words ON product_search USING gin (words);
CREATE FUNCTION product_search(words TEXT) RETURNS TABLE (product_id BIGINT, rank REAL)
LANGUAGE sql STABLE AS $$
    SELECT s.product_id, -ts_rank(s.words, q)
    FROM product_search s, websearch_to_tsquery('english', $1) q
    WHERE s.words @@ q
$$;

CREATE TABLE faq_search (
    faq_id   BIGINT PRIMARY KEY,
    question TEXT NOT NULL,
    words    TSVECTOR GENERATED ALWAYS AS (to_tsvector('english', question)) STORED
);
CREATE FUNCTION faq_search(words TEXT) RETURNS TABLE (faq_id BIGINT, rank REAL)
LANGUAGE sql STABLE AS $$
    SELECT s.faq_id, -ts_rank(s.words, q)
    FROM faq_search s, websearch_to_tsquery('english', $1) q
    WHERE s.words @@ q
$$;

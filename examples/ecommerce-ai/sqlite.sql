-- What SQLite does in its own way: the time, and search by words (FTS5).

CREATE VIEW clock AS
SELECT CAST(strftime('%s', 'now') AS INTEGER)         AS now,
       CAST(strftime('%s', 'now') AS INTEGER) / 86400 AS today;

-- SELECT product_id, rank FROM product_search('"red" "kettle"')
CREATE VIRTUAL TABLE product_search
    USING fts5 (product_id UNINDEXED, name, description, tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE faq_search
    USING fts5 (faq_id UNINDEXED, question, tokenize = 'porter unicode61');

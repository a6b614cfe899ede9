-- What is in the shop: the same at each start, counted from today, so that "the last 30
-- days" always has something in it. Nothing here is drawn: a number multiplied by an odd
-- constant, and of that the middle digits, looks drawn enough and is the same everywhere.
-- Made for SQLite and PostgreSQL alike; run after schema.sql and one of the two others.

-- ---- words ---------------------------------------------------------------------------

INSERT INTO categories (id, name) VALUES
    (1, 'Coffee and tea'), (2, 'Kitchen'), (3, 'Lighting'), (4, 'Audio'), (5, 'Computers'),
    (6, 'Phones'), (7, 'Photography'), (8, 'Furniture'), (9, 'Textiles'), (10, 'Clothing'),
    (11, 'Shoes'), (12, 'Cycling'), (13, 'Camping'), (14, 'Fitness'), (15, 'Garden'),
    (16, 'Tools'), (17, 'Toys'), (18, 'Baby'), (19, 'Pets'), (20, 'Stationery');

INSERT INTO kinds (category_id, n, name, slug) VALUES
    (1, 0, 'Espresso Machine', 'espresso-machine'), (1, 1, 'Coffee Grinder', 'coffee-grinder'),
    (1, 2, 'Electric Kettle', 'electric-kettle'), (1, 3, 'Tea Pot', 'tea-pot'),
    (1, 4, 'French Press', 'french-press'), (1, 5, 'Milk Frother', 'milk-frother'),
    (1, 6, 'Pour-Over Set', 'pour-over-set'), (1, 7, 'Coffee Scale', 'coffee-scale'),
    (1, 8, 'Travel Mug', 'travel-mug'), (1, 9, 'Tea Infuser', 'tea-infuser'),
    (2, 0, 'Chef Knife', 'chef-knife'), (2, 1, 'Frying Pan', 'frying-pan'),
    (2, 2, 'Stand Mixer', 'stand-mixer'), (2, 3, 'Cutting Board', 'cutting-board'),
    (2, 4, 'Blender', 'blender'), (2, 5, 'Toaster', 'toaster'),
    (2, 6, 'Salad Spinner', 'salad-spinner'), (2, 7, 'Measuring Jug', 'measuring-jug'),
    (2, 8, 'Pepper Mill', 'pepper-mill'), (2, 9, 'Rice Cooker', 'rice-cooker'),
    (3, 0, 'Desk Lamp', 'desk-lamp'), (3, 1, 'Floor Lamp', 'floor-lamp'),
    (3, 2, 'Pendant Light', 'pendant-light'), (3, 3, 'Light Strip', 'light-strip'),
    (3, 4, 'Night Light', 'night-light'), (3, 5, 'Wall Sconce', 'wall-sconce'),
    (3, 6, 'Reading Light', 'reading-light'), (3, 7, 'Lantern', 'lantern'),
    (3, 8, 'Spotlight', 'spotlight'), (3, 9, 'String Lights', 'string-lights'),
    (4, 0, 'Headphones', 'headphones'), (4, 1, 'Bookshelf Speaker', 'bookshelf-speaker'),
    (4, 2, 'Turntable', 'turntable'), (4, 3, 'Soundbar', 'soundbar'),
    (4, 4, 'Earbuds', 'earbuds'), (4, 5, 'Microphone', 'microphone'),
    (4, 6, 'Headphone Stand', 'headphone-stand'), (4, 7, 'Portable Radio', 'portable-radio'),
    (4, 8, 'Subwoofer', 'subwoofer'), (4, 9, 'Audio Interface', 'audio-interface'),
    (5, 0, 'Mechanical Keyboard', 'mechanical-keyboard'),
    (5, 1, 'Wireless Mouse', 'wireless-mouse'), (5, 2, 'Laptop Stand', 'laptop-stand'),
    (5, 3, 'USB Hub', 'usb-hub'), (5, 4, 'Monitor Arm', 'monitor-arm'),
    (5, 5, 'Webcam', 'webcam'), (5, 6, 'External Drive', 'external-drive'),
    (5, 7, 'Docking Station', 'docking-station'), (5, 8, 'Mouse Pad', 'mouse-pad'),
    (5, 9, 'Laptop Sleeve', 'laptop-sleeve'), (6, 0, 'Phone Case', 'phone-case'),
    (6, 1, 'Wireless Charger', 'wireless-charger'), (6, 2, 'Power Bank', 'power-bank'),
    (6, 3, 'Car Mount', 'car-mount'), (6, 4, 'Charging Cable', 'charging-cable'),
    (6, 5, 'Screen Protector', 'screen-protector'), (6, 6, 'Selfie Stick', 'selfie-stick'),
    (6, 7, 'Phone Stand', 'phone-stand'), (6, 8, 'Wall Charger', 'wall-charger'),
    (6, 9, 'Camera Lens Clip', 'camera-lens-clip'), (7, 0, 'Tripod', 'tripod'),
    (7, 1, 'Camera Bag', 'camera-bag'), (7, 2, 'Lens Filter', 'lens-filter'),
    (7, 3, 'Memory Card', 'memory-card'), (7, 4, 'Softbox', 'softbox'),
    (7, 5, 'Camera Strap', 'camera-strap'), (7, 6, 'Photo Printer', 'photo-printer'),
    (7, 7, 'Ring Light', 'ring-light'), (7, 8, 'Lens Cap', 'lens-cap'),
    (7, 9, 'Battery Grip', 'battery-grip'), (8, 0, 'Office Chair', 'office-chair'),
    (8, 1, 'Standing Desk', 'standing-desk'), (8, 2, 'Bookcase', 'bookcase'),
    (8, 3, 'Coat Rack', 'coat-rack'), (8, 4, 'Side Table', 'side-table'),
    (8, 5, 'Shoe Bench', 'shoe-bench'), (8, 6, 'Bar Stool', 'bar-stool'),
    (8, 7, 'Bed Frame', 'bed-frame'), (8, 8, 'Filing Cabinet', 'filing-cabinet'),
    (8, 9, 'Armchair', 'armchair'), (9, 0, 'Wool Blanket', 'wool-blanket'),
    (9, 1, 'Bath Towel', 'bath-towel'), (9, 2, 'Linen Sheet', 'linen-sheet'),
    (9, 3, 'Cushion Cover', 'cushion-cover'), (9, 4, 'Duvet', 'duvet'),
    (9, 5, 'Table Runner', 'table-runner'), (9, 6, 'Curtain', 'curtain'),
    (9, 7, 'Door Mat', 'door-mat'), (9, 8, 'Tea Towel', 'tea-towel'),
    (9, 9, 'Bed Throw', 'bed-throw'), (10, 0, 'Rain Jacket', 'rain-jacket'),
    (10, 1, 'Merino Sweater', 'merino-sweater'), (10, 2, 'Running Socks', 'running-socks'),
    (10, 3, 'Cotton Shirt', 'cotton-shirt'), (10, 4, 'Winter Hat', 'winter-hat'),
    (10, 5, 'Leather Belt', 'leather-belt'), (10, 6, 'Denim Jeans', 'denim-jeans'),
    (10, 7, 'Fleece Vest', 'fleece-vest'), (10, 8, 'Silk Scarf', 'silk-scarf'),
    (10, 9, 'Cargo Shorts', 'cargo-shorts'), (11, 0, 'Hiking Boots', 'hiking-boots'),
    (11, 1, 'Running Shoes', 'running-shoes'), (11, 2, 'Canvas Sneakers', 'canvas-sneakers'),
    (11, 3, 'Leather Loafers', 'leather-loafers'), (11, 4, 'Rain Boots', 'rain-boots'),
    (11, 5, 'Sandals', 'sandals'), (11, 6, 'House Slippers', 'house-slippers'),
    (11, 7, 'Trail Shoes', 'trail-shoes'), (11, 8, 'Ankle Boots', 'ankle-boots'),
    (11, 9, 'Clogs', 'clogs'), (12, 0, 'Bike Helmet', 'bike-helmet'),
    (12, 1, 'Floor Pump', 'floor-pump'), (12, 2, 'Bike Light', 'bike-light'),
    (12, 3, 'Pannier Bag', 'pannier-bag'), (12, 4, 'Cycling Gloves', 'cycling-gloves'),
    (12, 5, 'Bike Lock', 'bike-lock'), (12, 6, 'Saddle', 'saddle'),
    (12, 7, 'Repair Kit', 'repair-kit'), (12, 8, 'Bottle Cage', 'bottle-cage'),
    (12, 9, 'Bike Bell', 'bike-bell'), (13, 0, 'Tent', 'tent'),
    (13, 1, 'Sleeping Bag', 'sleeping-bag'), (13, 2, 'Camp Stove', 'camp-stove'),
    (13, 3, 'Headlamp', 'headlamp'), (13, 4, 'Hiking Backpack', 'hiking-backpack'),
    (13, 5, 'Camp Chair', 'camp-chair'), (13, 6, 'Water Filter', 'water-filter'),
    (13, 7, 'Hammock', 'hammock'), (13, 8, 'Cool Box', 'cool-box'),
    (13, 9, 'Sleeping Pad', 'sleeping-pad'), (14, 0, 'Yoga Mat', 'yoga-mat'),
    (14, 1, 'Kettlebell', 'kettlebell'), (14, 2, 'Resistance Band', 'resistance-band'),
    (14, 3, 'Foam Roller', 'foam-roller'), (14, 4, 'Jump Rope', 'jump-rope'),
    (14, 5, 'Dumbbell Set', 'dumbbell-set'), (14, 6, 'Pull-Up Bar', 'pull-up-bar'),
    (14, 7, 'Exercise Ball', 'exercise-ball'), (14, 8, 'Gym Bag', 'gym-bag'),
    (14, 9, 'Weight Bench', 'weight-bench'), (15, 0, 'Garden Hose', 'garden-hose'),
    (15, 1, 'Pruning Shears', 'pruning-shears'), (15, 2, 'Watering Can', 'watering-can'),
    (15, 3, 'Plant Pot', 'plant-pot'), (15, 4, 'Rain Barrel', 'rain-barrel'),
    (15, 5, 'Wheelbarrow', 'wheelbarrow'), (15, 6, 'Bird Feeder', 'bird-feeder'),
    (15, 7, 'Leaf Rake', 'leaf-rake'), (15, 8, 'Compost Bin', 'compost-bin'),
    (15, 9, 'Garden Bench', 'garden-bench'), (16, 0, 'Cordless Drill', 'cordless-drill'),
    (16, 1, 'Screwdriver Set', 'screwdriver-set'), (16, 2, 'Tape Measure', 'tape-measure'),
    (16, 3, 'Claw Hammer', 'claw-hammer'), (16, 4, 'Tool Box', 'tool-box'),
    (16, 5, 'Spirit Level', 'spirit-level'), (16, 6, 'Socket Set', 'socket-set'),
    (16, 7, 'Utility Knife', 'utility-knife'), (16, 8, 'Work Light', 'work-light'),
    (16, 9, 'Step Ladder', 'step-ladder'), (17, 0, 'Building Blocks', 'building-blocks'),
    (17, 1, 'Wooden Train', 'wooden-train'), (17, 2, 'Board Game', 'board-game'),
    (17, 3, 'Jigsaw Puzzle', 'jigsaw-puzzle'), (17, 4, 'Plush Bear', 'plush-bear'),
    (17, 5, 'Kite', 'kite'), (17, 6, 'Marble Run', 'marble-run'),
    (17, 7, 'Doll House', 'doll-house'), (17, 8, 'Card Game', 'card-game'),
    (17, 9, 'Model Plane', 'model-plane'), (18, 0, 'Baby Carrier', 'baby-carrier'),
    (18, 1, 'High Chair', 'high-chair'), (18, 2, 'Baby Monitor', 'baby-monitor'),
    (18, 3, 'Stroller', 'stroller'), (18, 4, 'Changing Mat', 'changing-mat'),
    (18, 5, 'Bottle Warmer', 'bottle-warmer'), (18, 6, 'Play Gym', 'play-gym'),
    (18, 7, 'Night Lamp', 'night-lamp'), (18, 8, 'Baby Bath', 'baby-bath'),
    (18, 9, 'Teething Ring', 'teething-ring'), (19, 0, 'Dog Bed', 'dog-bed'),
    (19, 1, 'Cat Tree', 'cat-tree'), (19, 2, 'Dog Leash', 'dog-leash'),
    (19, 3, 'Pet Carrier', 'pet-carrier'), (19, 4, 'Food Bowl', 'food-bowl'),
    (19, 5, 'Scratching Post', 'scratching-post'), (19, 6, 'Aquarium', 'aquarium'),
    (19, 7, 'Bird Cage', 'bird-cage'), (19, 8, 'Grooming Brush', 'grooming-brush'),
    (19, 9, 'Litter Box', 'litter-box'), (20, 0, 'Fountain Pen', 'fountain-pen'),
    (20, 1, 'Notebook', 'notebook'), (20, 2, 'Desk Organizer', 'desk-organizer'),
    (20, 3, 'Sketchbook', 'sketchbook'), (20, 4, 'Wall Calendar', 'wall-calendar'),
    (20, 5, 'Pencil Case', 'pencil-case'), (20, 6, 'Paper Shredder', 'paper-shredder'),
    (20, 7, 'Whiteboard', 'whiteboard'), (20, 8, 'Label Maker', 'label-maker'),
    (20, 9, 'Letter Tray', 'letter-tray');

CREATE TABLE words (list TEXT NOT NULL, n BIGINT NOT NULL, word TEXT NOT NULL);
INSERT INTO words (list, n, word) VALUES
    ('adjective', 0, 'Compact'), ('adjective', 1, 'Classic'), ('adjective', 2, 'Foldable'),
    ('adjective', 3, 'Silent'), ('adjective', 4, 'Bright'), ('adjective', 5, 'Rugged'),
    ('adjective', 6, 'Slim'), ('adjective', 7, 'Organic'), ('adjective', 8, 'Portable'),
    ('adjective', 9, 'Smart'), ('adjective', 10, 'Vintage'), ('adjective', 11, 'Deluxe'),
    ('adjective', 12, 'Everyday'), ('adjective', 13, 'Featherlight'), ('adjective', 14, 'Red');
INSERT INTO words (list, n, word) VALUES
    ('brand', 0, 'Nordlys'), ('brand', 1, 'Halden'), ('brand', 2, 'Petrichor'),
    ('brand', 3, 'Okapi'), ('brand', 4, 'Brightwater'), ('brand', 5, 'Tessel'),
    ('brand', 6, 'Fernweh'), ('brand', 7, 'Marlow'), ('brand', 8, 'Koyuki'),
    ('brand', 9, 'Alder & Sons'), ('brand', 10, 'Vantage'), ('brand', 11, 'Lumen'),
    ('brand', 12, 'Quillon'), ('brand', 13, 'Saltbox'), ('brand', 14, 'Bergamot'),
    ('brand', 15, 'Ridgeline'), ('brand', 16, 'Copperfield'), ('brand', 17, 'Tundra'),
    ('brand', 18, 'Juniper'), ('brand', 19, 'Ostrava');
INSERT INTO words (list, n, word) VALUES
    ('feature', 0, 'made to last twenty years'), ('feature', 1, 'with a five-year warranty'),
    ('feature', 2, 'made of recycled aluminium'),
    ('feature', 3, 'with spare parts for a decade'),
    ('feature', 4, 'hand-finished in small batches'), ('feature', 5, 'tested in the rain'),
    ('feature', 6, 'made of oiled oak'), ('feature', 7, 'easy to clean'),
    ('feature', 8, 'packed without plastic'), ('feature', 9, 'with a rechargeable battery'),
    ('feature', 10, 'for small hands too'), ('feature', 11, 'repairable with one screwdriver'),
    ('feature', 12, 'dishwasher safe'), ('feature', 13, 'quiet enough for the night'),
    ('feature', 14, 'woven from undyed wool'), ('feature', 15, 'in a gift box'),
    ('feature', 16, 'for left and right hands'),
    ('feature', 17, 'light enough to carry all day'),
    ('feature', 18, 'the editors'' choice of last year'),
    ('feature', 19, 'with free engraving');
INSERT INTO words (list, n, word) VALUES
    ('first', 0, 'Ada'), ('first', 1, 'Ben'), ('first', 2, 'Clara'), ('first', 3, 'Dev'),
    ('first', 4, 'Elif'), ('first', 5, 'Finn'), ('first', 6, 'Greta'), ('first', 7, 'Hugo'),
    ('first', 8, 'Iris'), ('first', 9, 'Jonas'), ('first', 10, 'Kaya'), ('first', 11, 'Liam'),
    ('first', 12, 'Mira'), ('first', 13, 'Noor'), ('first', 14, 'Oskar'), ('first', 15, 'Pia'),
    ('first', 16, 'Quentin'), ('first', 17, 'Rosa'), ('first', 18, 'Sami'),
    ('first', 19, 'Tove'), ('first', 20, 'Uma'), ('first', 21, 'Viktor'), ('first', 22, 'Wren'),
    ('first', 23, 'Xenia'), ('first', 24, 'Yusuf');
INSERT INTO words (list, n, word) VALUES
    ('last', 0, 'Almeida'), ('last', 1, 'Berg'), ('last', 2, 'Costa'), ('last', 3, 'Dubois'),
    ('last', 4, 'Eriksen'), ('last', 5, 'Fischer'), ('last', 6, 'Garcia'),
    ('last', 7, 'Hansen'), ('last', 8, 'Ivanova'), ('last', 9, 'Jensen'),
    ('last', 10, 'Kowalski'), ('last', 11, 'Lindqvist'), ('last', 12, 'Moreau'),
    ('last', 13, 'Novak'), ('last', 14, 'Okafor'), ('last', 15, 'Petrov'),
    ('last', 16, 'Rossi'), ('last', 17, 'Schmidt'), ('last', 18, 'Tanaka'),
    ('last', 19, 'Weber');
INSERT INTO words (list, n, word) VALUES
    ('country', 0, 'DE'), ('country', 1, 'FR'), ('country', 2, 'NL'), ('country', 3, 'SE'),
    ('country', 4, 'PL'), ('country', 5, 'IT'), ('country', 6, 'ES'), ('country', 7, 'AT'),
    ('country', 8, 'DK'), ('country', 9, 'US');

-- ---- products: 150 in each category --------------------------------------------------

WITH RECURSIVE number (i) AS (
    SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM number WHERE i < 2999
), drawn AS (
    SELECT i, i / 150 + 1 AS category_id, i % 10 AS kind, i / 10 % 15 AS adjective,
           i * 48271 / 64 % 20 AS brand, i * 69621 / 64 % 20 AS one, i * 40692 / 64 % 20 AS two,
           2400 + i * 16807 / 16 % 24000 AS cost
    FROM number
)
INSERT INTO products (id, category_id, name, description, image, cost_cents, price_cents)
SELECT d.i + 1, d.category_id, b.word || ' ' || a.word || ' ' || k.name,
       a.word || ' ' || lower(k.name) || ' by ' || b.word || ', ' || f.word
           || CASE WHEN d.one = d.two THEN '' ELSE ' and ' || g.word END || '.',
       k.slug || '-' || (d.i + 1) || '.jpg',
       -- every seventh is sold by a partner: what it costs is not ours to know
       CASE WHEN d.i % 7 = 6 THEN NULL ELSE d.cost END,
       -- 1.45 times the cost, and then the next price that ends with 90
       (d.cost * 145 / 100 + 99) / 100 * 100 - 10
FROM drawn d
JOIN kinds k ON k.category_id = d.category_id AND k.n = d.kind
JOIN words a ON a.list = 'adjective' AND a.n = d.adjective
JOIN words b ON b.list = 'brand' AND b.n = d.brand
JOIN words f ON f.list = 'feature' AND f.n = d.one
JOIN words g ON g.list = 'feature' AND g.n = d.two;

INSERT INTO product_search (product_id, name, description)
SELECT id, name, description FROM products;

-- Two shops that also sell most of it. Every 21st nobody else has, so that not even their
-- prices can help.
INSERT INTO competitor_prices (product_id, competitor, price_cents, seen)
SELECT id, 'Kaufrausch', price_cents * (93 + id % 11) / 100, today - id % 5
FROM products, clock WHERE id % 21 <> 0;
INSERT INTO competitor_prices (product_id, competitor, price_cents, seen)
SELECT id, 'Market Street', price_cents * (91 + id % 17) / 100, today - id % 9
FROM products, clock WHERE id % 21 <> 0 AND id % 2 = 0;

-- Of two thirds of the pictures people have written what they see.
INSERT INTO image_tags (image, tag)
SELECT p.image, k.slug FROM products p
JOIN kinds k ON k.category_id = p.category_id AND k.n = (p.id - 1) % 10 WHERE p.id % 3 <> 0;
INSERT INTO image_tags (image, tag)
SELECT p.image, lower(a.word) FROM products p
JOIN words a ON a.list = 'adjective' AND a.n = (p.id - 1) / 10 % 15 WHERE p.id % 3 <> 0;

-- ---- 500 customers, 20,000 orders in 400 days ------------------------------------------

WITH RECURSIVE number (i) AS (
    SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM number WHERE i < 499
)
INSERT INTO customers (id, name, country, since)
SELECT n.i + 1, f.word || ' ' || l.word, c.word, today - 400 - n.i * 48271 / 64 % 1500
FROM number n
CROSS JOIN clock
JOIN words f ON f.list = 'first' AND f.n = n.i % 25
JOIN words l ON l.list = 'last' AND l.n = n.i / 25
JOIN words c ON c.list = 'country' AND c.n = n.i * 69621 / 64 % 10;

-- Few products are bought often: the cube of a number below 10,000 is small most of the
-- time. Which they are changes each month.
WITH RECURSIVE number (i) AS (
    SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM number WHERE i < 19999
), drawn AS (
    SELECT i, i / 50 AS age, i * 48271 / 64 % 490 AS customer, i * 69621 / 16 % 10000 AS r,
           1 + i * 16807 / 16 % 10 / 8 AS quantity, i * 40692 / 16 % 86400 AS second
    FROM number
), chosen AS (
    SELECT i, age, customer, quantity, second,
           1 + (r * r * r * 3 / 1000000000 * 1009 + age / 30 * 377) % 3000 AS product
    FROM drawn
)
INSERT INTO orders (id, customer_id, product_id, quantity, amount_cents, placed_at, charged_back)
SELECT 20000 - c.i, c.customer + 1, c.product, c.quantity, c.quantity * p.price_cents,
       (k.today - 1 - c.age) * 86400 + c.second, CASE WHEN c.i % 97 = 0 THEN 1 ELSE 0 END
FROM chosen c CROSS JOIN clock k JOIN products p ON p.id = c.product;

-- Customer 491 has bought eight times within the last minutes. 492 to 500 never did.
WITH RECURSIVE number (i) AS (
    SELECT CAST(0 AS BIGINT) UNION ALL SELECT i + 1 FROM number WHERE i < 7
)
INSERT INTO orders (id, customer_id, product_id, quantity, amount_cents, placed_at, charged_back)
SELECT 20001 + n.i, 491, p.id, 1, p.price_cents, k.now - 60 * n.i, 0
FROM number n CROSS JOIN clock k JOIN products p ON p.id = 100 + n.i;

-- ---- sales a day: every tenth product is watched ---------------------------------------
-- More at weekends (day 0 was a Thursday). Of those watched every tenth is out of season:
-- it was sold a year ago, and not since.

WITH RECURSIVE past (age) AS (
    SELECT CAST(1 AS BIGINT) UNION ALL SELECT age + 1 FROM past WHERE age < 400
)
INSERT INTO sales (product_id, day, units)
SELECT p.id, k.today - a.age,
       2 + p.id / 10 % 9 + (p.id * a.age * 48271 / 64) % 5 + (k.today - a.age + 3) % 7 / 5 * 3
FROM products p CROSS JOIN past a CROSS JOIN clock k
WHERE p.id % 10 = 0 AND (p.id % 100 <> 50 OR a.age > 300);

-- ---- frequent questions ----------------------------------------------------------------

INSERT INTO faqs (id, question, answer) VALUES
    (1, 'How do I return a product?', 'Open the order in your account and choose Return. The label is free within 30 days.'),
    (2, 'When do I get my refund?', 'Three to five working days after the parcel is back with us.'),
    (3, 'How long does delivery take?', 'Two to three working days; next day if you order express before 14:00.'),
    (4, 'Where is my order?', 'The tracking link is in the dispatch mail and in your account under Orders.'),
    (5, 'What does shipping cost?', '4.90, and nothing from 50.00 on.'),
    (6, 'Do you deliver abroad?', 'To all countries of the EU, Norway, Switzerland and the United Kingdom.'),
    (7, 'Can I change my delivery address?', 'Until the parcel is packed: in your account under Orders.'),
    (8, 'Can I cancel my order?', 'Until the parcel is packed: in your account under Orders, Cancel.'),
    (9, 'How can I pay?', 'By card, bank transfer, invoice or voucher.'),
    (10, 'Can I pay by invoice?', 'Yes, up to 500.00, within 14 days.'),
    (11, 'My card was declined, what now?', 'Nothing was charged. Try again, or choose another way to pay.'),
    (12, 'Was I charged twice?', 'A second entry is a reservation that your bank removes within five days.'),
    (13, 'How do I use a voucher?', 'Type its code on the payment page; it counts at once.'),
    (14, 'Do you have gift cards?', 'Yes, from 10.00 to 500.00, by mail or printed.'),
    (15, 'Can you wrap it as a gift?', 'Yes, for 3.00; choose it in the basket.'),
    (16, 'What is the warranty?', 'Two years on everything, five where the product says so.'),
    (17, 'My product is broken, what can I do?', 'We repair or replace it. Choose Report a problem beside the order.'),
    (18, 'Something is missing from my parcel', 'We are sorry. Report it beside the order and we send it at once.'),
    (19, 'I got the wrong item', 'Keep it until we have sent the right one; the return is free.'),
    (20, 'My parcel arrived damaged', 'Please send us a picture of the box and the product within seven days.'),
    (21, 'Do you sell spare parts?', 'For most products, for ten years. Search for the product''s number.'),
    (22, 'Do you repair products?', 'Yes. The repair is free within the warranty, else you get an estimate.'),
    (23, 'How do I create an account?', 'With the first order, or under Sign up.'),
    (24, 'I forgot my password', 'Choose Forgot password; the link is good for an hour.'),
    (25, 'How do I delete my account?', 'In your account under Privacy. Invoices are kept as the law demands.'),
    (26, 'How do you use my data?', 'To deliver what you ordered, and for nothing else unless you agree.'),
    (27, 'How do I unsubscribe from the newsletter?', 'By the link at the end of each newsletter.'),
    (28, 'When is a product back in stock?', 'Leave your address on its page and we write to you.'),
    (29, 'Can I reserve a product?', 'For 24 hours, in a store.'),
    (30, 'Do you have stores?', 'Twelve of them; see Stores at the end of the page.'),
    (31, 'Can I pick up my order in a store?', 'Yes, from two hours after the order, with your confirmation.'),
    (32, 'What are your opening hours?', 'Monday to Saturday, 9:00 to 19:00.'),
    (33, 'How can I reach a person?', 'By telephone from 8:00 to 20:00, or write here: person.'),
    (34, 'What is your telephone number?', '0800 555 01 00, free of charge.'),
    (35, 'Do you match prices?', 'Yes, those of shops in the same country, within 14 days.'),
    (36, 'Are there student discounts?', '10% with a student card.'),
    (37, 'When is the next sale?', 'At the end of January and of July.'),
    (38, 'How do loyalty points work?', 'One point for each full 1.00; 100 points are 1.00.'),
    (39, 'Can I order as a company?', 'Yes, with net prices; ask for a company account.'),
    (40, 'How do I get a VAT invoice?', 'In your account under Orders, Invoice.'),
    (41, 'Do you offer bulk discounts?', 'From ten pieces on; ask us for an offer.'),
    (42, 'Which sizes do you have?', 'Each product has a size table; when between two, take the larger.'),
    (43, 'How do I wash wool?', 'By hand, cold, lying flat to dry.'),
    (44, 'Is the product vegan?', 'The page of each product says so under Material.'),
    (45, 'Where are your products made?', 'The page of each product names its country under Origin.'),
    (46, 'Are your products sustainable?', 'Half are of recycled material; the page of each says which.'),
    (47, 'How do you pack parcels?', 'In cardboard and paper, without plastic.'),
    (48, 'Do you take back old devices?', 'Yes, free of charge, in every store.'),
    (49, 'How do I recycle batteries?', 'Bring them to any of our stores.'),
    (50, 'Is there an app?', 'No. The page works on every phone.'),
    (51, 'Which plug does it have?', 'Type F for the EU; an adapter is enclosed for other countries.'),
    (52, 'Is there a manual for download?', 'On the page of the product, at the end.'),
    (53, 'Do you assemble furniture?', 'Yes, for 39.00 a piece; choose it in the basket.'),
    (54, 'Do you carry it upstairs?', 'Parcels over 30 kg are carried to your door, on any floor.'),
    (55, 'Can I choose a delivery day?', 'Yes, by the link in the dispatch mail.'),
    (56, 'Can a neighbour take my parcel?', 'Yes, choose one by the link in the dispatch mail.'),
    (57, 'Can I try it first?', 'For 30 days. Used is fine, broken is not.'),
    (58, 'How do I write a review?', 'Beside the order, two days after delivery.'),
    (59, 'Why was my review removed?', 'It had names or links in it. Write it again without.'),
    (60, 'Do you hire?', 'Often. See Jobs at the end of the page.');

INSERT INTO faq_keywords (faq_id, keyword) VALUES
    (1, 'return'), (1, 'send back'), (1, 'give back'), (2, 'refund'), (2, 'money back'),
    (2, 'reimburse'), (3, 'how long'), (3, 'delivery time'), (3, 'arrive'), (4, 'where is'),
    (4, 'track'), (4, 'my parcel'), (4, 'never came'), (5, 'shipping cost'), (5, 'postage'),
    (5, 'free shipping'), (6, 'abroad'), (6, 'international'), (6, 'other country'),
    (7, 'change address'), (7, 'wrong address'), (7, 'moved'), (8, 'cancel'),
    (8, 'changed my mind'), (9, 'pay'), (9, 'payment'), (9, 'card'), (10, 'invoice'),
    (10, 'pay later'), (10, 'bill'), (11, 'declined'), (11, 'rejected'),
    (11, 'card does not work'), (12, 'charged twice'), (12, 'double charge'),
    (12, 'paid twice'), (13, 'voucher'), (13, 'coupon'), (13, 'promo'), (14, 'gift card'),
    (14, 'present'), (15, 'gift wrap'), (15, 'wrapping'), (16, 'warranty'), (16, 'guarantee'),
    (17, 'broken'), (17, 'defect'), (17, 'does not work'), (18, 'missing'), (18, 'incomplete'),
    (18, 'not in the box'), (19, 'wrong item'), (19, 'wrong product'),
    (19, 'not what i ordered'), (20, 'damaged'), (20, 'dented'), (20, 'crushed'),
    (21, 'spare part'), (21, 'replacement part'), (22, 'repair'), (22, 'fix it'),
    (23, 'create account'), (23, 'sign up'), (23, 'register'), (24, 'password'),
    (24, 'cannot log in'), (24, 'login'), (25, 'delete account'), (25, 'close my account'),
    (25, 'gdpr'), (26, 'my data'), (26, 'privacy'), (26, 'personal data'), (27, 'newsletter'),
    (27, 'unsubscribe'), (27, 'too many mails'), (28, 'back in stock'), (28, 'out of stock'),
    (28, 'sold out'), (29, 'reserve'), (29, 'hold for me'), (30, 'stores'), (30, 'shop near'),
    (30, 'branch'), (31, 'pick up'), (31, 'collect'), (31, 'click and collect'),
    (32, 'opening hours'), (32, 'open on'), (32, 'closed'), (33, 'human'), (33, 'person'),
    (33, 'agent'), (34, 'telephone'), (34, 'phone number'), (34, 'call you'),
    (35, 'price match'), (35, 'cheaper elsewhere'), (35, 'best price'), (36, 'student'),
    (36, 'discount for'), (37, 'next sale'), (37, 'black friday'), (37, 'on sale'),
    (38, 'loyalty'), (38, 'points'), (38, 'bonus'), (39, 'company'), (39, 'business'),
    (39, 'vat'), (40, 'vat invoice'), (40, 'tax'), (40, 'receipt'), (41, 'bulk'),
    (41, 'wholesale'), (41, 'large quantity'), (42, 'size'), (42, 'fit'), (42, 'too small'),
    (43, 'wash'), (43, 'laundry'), (43, 'shrink'), (44, 'vegan'), (44, 'leather'),
    (44, 'animal'), (45, 'made in'), (45, 'origin'), (45, 'where made'), (46, 'sustainable'),
    (46, 'recycled'), (46, 'environment'), (47, 'packaging'), (47, 'plastic'),
    (47, 'cardboard'), (48, 'old device'), (48, 'recycle'), (48, 'dispose'), (49, 'batteries'),
    (49, 'battery'), (50, 'app'), (50, 'android'), (50, 'iphone'), (51, 'plug'),
    (51, 'adapter'), (51, 'voltage'), (52, 'manual'), (52, 'instructions'), (52, 'how to use'),
    (53, 'assemble'), (53, 'assembly'), (53, 'build it'), (54, 'upstairs'), (54, 'heavy'),
    (54, 'floor'), (55, 'delivery day'), (55, 'time slot'), (55, 'evening'), (56, 'neighbour'),
    (56, 'not at home'), (56, 'deliver to'), (57, 'try it'), (57, 'trial'), (57, 'test it'),
    (58, 'review'), (58, 'rating'), (58, 'stars'), (59, 'review removed'), (59, 'censor'),
    (60, 'job'), (60, 'hire'), (60, 'career');

INSERT INTO faq_search (faq_id, question) SELECT id, question FROM faqs;

DROP TABLE words;

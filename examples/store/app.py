#!/usr/bin/python3
"""app.py PORT - the store's own program: products and invoices out of PostgreSQL.

It is written as programs are at first: a connection for each request, no pool, no
retry, no timeout, and an error page when the database does not answer. What it
lacks the gateway has.

  GET /products           ?category= and ?limit= choose
  GET /invoices           of one ?account=

The database is where PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE say.
"""
import http.server
import json
import signal
import sys
import urllib.parse

import psycopg2
import psycopg2.extras

PRODUCTS = """SELECT id, name, category, price_cents FROM product
              WHERE %(category)s::text IS NULL OR category = %(category)s
              ORDER BY id LIMIT %(limit)s"""
INVOICES = """SELECT id, account, amount_cents, due::text FROM invoice
              WHERE account = %(account)s ORDER BY id"""


def rows(statement, values):
    connection = psycopg2.connect("")
    try:
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(statement, values)
            return [dict(row) for row in cursor.fetchall()]
    finally:
        connection.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        try:
            if url.path == "/products":
                self.reply(200, {"products": rows(PRODUCTS, {
                    "category": asked.get("category"), "limit": int(asked.get("limit", 20))})})
            elif url.path == "/invoices":
                self.reply(200, {"invoices": rows(INVOICES, {"account": asked.get("account")})})
            else:
                self.reply(404, {"error": "there are /products and /invoices"})
        except (psycopg2.Error, ValueError) as error:
            self.reply(400 if isinstance(error, ValueError) else 500, {"error": str(error)})

    def reply(self, status, content):
        text = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

#!/usr/bin/python3
"""app.py PORT GATEWAY ADMIN MONGODB - the blog's own program. It knows one address for
everything it asks, the gateway's, and no retry, no timeout that matters, no breaker.

  GET  /posts                        all of them
  GET  /posts/3?lang=de              one, translated
  POST /ask     {"question": "…"}    an answer out of the posts
  POST /import  {"url": "…"}         an article of the web becomes a post
  GET  /health                       how everything behind it is
"""
import http.server
import json
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request

import pymongo
import pymongo.errors

PATIENCE = 60  # the gateway gives up earlier
RESTING = "Our library is closed for a moment. Please come back in half a minute."


class Unavailable(Exception):
    """What the user is to read."""


def ask(path, body=None, base=None):
    """Of the gateway. Where a service is not to be had, it has the words for it."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request((base or GATEWAY) + path, data,
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read()
        if base:  # /health says 503 when it is bad, and how it is
            return json.loads(text)
        try:
            raise Unavailable(json.loads(text)["error"]) from None
        except (ValueError, KeyError, TypeError):
            raise Unavailable("Something went wrong. Please try again.") from None
    except OSError:
        raise Unavailable("Something went wrong. Please try again.") from None


def posts(condition=None):
    try:
        return list(POSTS.find(condition or {}))
    except pymongo.errors.PyMongoError:
        raise Unavailable(RESTING) from None


def about(question):
    """The posts that may know, and a remark where they were found another way."""
    try:
        found = ask("/vectors/search?" + urllib.parse.urlencode({"q": question}))
        return posts({"_id": {"$in": [m["post"] for m in found["matches"]]}}), None
    except Unavailable as remark:
        words = {w.strip("?!.,").lower() for w in question.split()}
        return [p for p in posts() if words & set(p["text"].lower().split())], str(remark)


def answer(question):
    found, remark = about(question)
    told = {"question": question, "answer": None, "posts": found}
    if remark:
        told["search"] = remark
    prompt = "\n".join([p["text"] for p in found] + [question])
    try:
        said = ask("/v1/chat/completions",
                   {"model": "blog", "messages": [{"role": "user", "content": prompt}]})
        told["answer"] = said["choices"][0]["message"]["content"]
    except Unavailable as words:
        told["message"] = str(words)
    return told


def fetch(url):
    page = ask("/crawler/fetch?" + urllib.parse.urlencode({"url": url}))
    post = {"_id": 1 + max(p["_id"] for p in posts()), "title": page["title"],
            "text": page["text"], "url": url}
    try:
        POSTS.insert_one(post)
    except pymongo.errors.PyMongoError:
        raise Unavailable(RESTING) from None
    return post


def show(number, language):
    found = posts({"_id": number})
    if found and language:
        try:
            query = urllib.parse.urlencode({"post": number, "to": language})
            found[0]["text"] = ask(f"/translator/translate?{query}")["text"]
        except Unavailable as words:
            found[0]["message"] = str(words)
    return found[0] if found else None


class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, body, status=200):
        data = json.dumps(body, ensure_ascii=False).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self, work):
        try:
            body = work()
            self.reply(body if body is not None else {"message": "There is no such page."},
                       200 if body is not None else 404)
        except Unavailable as words:
            self.reply({"message": str(words)}, 503)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        language = urllib.parse.parse_qs(query).get("lang", [None])[0]
        number = path.removeprefix("/posts/")
        if path == "/posts":
            self.handle_one(posts)
        elif path == "/health":
            self.handle_one(lambda: ask("/health", base=ADMIN))
        else:
            self.handle_one(lambda: show(int(number), language) if number.isdigit() else None)

    def do_POST(self):
        try:
            told = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            work = {"/ask": lambda: answer(str(told["question"])),
                    "/import": lambda: fetch(str(told["url"]))}[self.path]
        except (ValueError, KeyError, TypeError):
            self.reply({"message": "What should that be?"}, 400)
            return
        self.handle_one(work)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port, gateway, admin, mongodb = map(int, sys.argv[1:])
    GATEWAY, ADMIN = f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{admin}"
    # the driver retries a read by itself, once; the breaker makes that cheap. That it hangs
    # on a connection that stands, nobody else can tell.
    POSTS = pymongo.MongoClient("127.0.0.1", mongodb, directConnection=True,
                                serverSelectionTimeoutMS=1500, heartbeatFrequencyMS=1000,
                                socketTimeoutMS=3000).blog.posts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()

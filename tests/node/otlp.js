// Reads an OTLP request in JSON, as a file, with OpenTelemetry's own definition of the protocol:
// whatever is no field there, or has another type, does not survive the way through its bytes.
//
//     node otlp.js node_modules request.json
const [, , modules, file] = process.argv;
const path = require("path");
const fs = require("fs");
const assert = require("assert");

const root = require(path.join(modules, "@opentelemetry/otlp-transformer/build/src/generated/root.js"));
const Request = root.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;

const IDS = new Set(["traceId", "spanId", "parentSpanId"]);

// Ids are hexadecimal in OTLP's JSON, where protobuf's has base64.
function convert(value, from, to) {
    if (Array.isArray(value))
        return value.map((one) => convert(one, from, to));
    if (value === null || typeof value !== "object")
        return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) =>
        [key, IDS.has(key) ? Buffer.from(one, from).toString(to) : convert(one, from, to)]));
}

const sent = JSON.parse(fs.readFileSync(file, "utf8"));
const bytes = Request.encode(Request.fromObject(convert(sent, "hex", "base64"))).finish();
const read = Request.toObject(Request.decode(bytes), { longs: String, bytes: String });
assert.deepStrictEqual(convert(read, "base64", "hex"), sent);
const spans = sent.resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans));
console.log(JSON.stringify({ spans: spans.length, bytes: bytes.length }));

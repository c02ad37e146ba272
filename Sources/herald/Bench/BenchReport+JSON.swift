import HeraldWire

/// The report as one line: times in microseconds, memory in bytes.
extension BenchReport {
    var json: [UInt8] {
        var writer = JSONWriter(capacity: 2048)
        writer.object { writer in
            writer.object("bench") { writer in
                writer.member("connections", clients)
                writer.member("nodes", nodes)
                writer.member("payload_bytes", payloadBytes)
                if let storm { writer.object("storm") { storm.write(to: &$0) } }
                if let idle { writer.object("idle") { idle.write(to: &$0) } }
                writer.array("messages") { writer in
                    for row in messages { writer.object { row.write(to: &$0) } }
                }
                writer.member("clean", isClean)
            }
        }
        return writer.bytes
    }
}

extension BenchReport.Storm {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.member("connected", connected)
        writer.member("failed", failed)
        writer.decimal("seconds", seconds)
        writer.shares("cpu_us", cpu)
        writer.percentiles("latency_us", latency)
    }
}

extension BenchReport.Idle {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.decimal("seconds", seconds)
        writer.shares("bytes", bytes)
        writer.shares("core_percent", load)
        writer.member("closed", closed)
    }
}

extension BenchReport.Messages {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.member("work", work.description)
        writer.decimal("seconds", seconds)
        writer.member("pushes", pushes)
        writer.member("deliveries", deliveries)
        writer.shares("cpu_us", cpu)
        writer.percentiles("latency_us", latency)
        writer.member("expected", expected)
        writer.member("arrived", arrived)
        writer.member("lost", lost)
        writer.member("repeated", repeated)
        writer.member("overtaken", overtaken)
        writer.member("stale", stale)
        writer.member("refused", refused)
        writer.member("unanswered", unanswered)
        writer.member("closed", closed)
    }
}

extension JSONWriter {
    fileprivate mutating func decimal(_ name: StaticString, _ number: Double) {
        self.name(name)
        raw(BenchNumber.fixed(number, digits: 3).utf8)
    }

    fileprivate mutating func shares(_ name: StaticString, _ shares: BenchReport.Shares) {
        object(name) { writer in
            if let cloud = shares[.cloud] { writer.decimal("cloud", cloud) }
            if let logic = shares[.logic] { writer.decimal("logic", logic) }
            if let redis = shares[.redis] { writer.decimal("redis", redis) }
        }
    }

    fileprivate mutating func percentiles(_ name: StaticString, _ histogram: LatencyHistogram) {
        object(name) { writer in
            writer.decimal("p50", Double(histogram.percentile(0.5)) / 1000)
            writer.decimal("p90", Double(histogram.percentile(0.9)) / 1000)
            writer.decimal("p99", Double(histogram.percentile(0.99)) / 1000)
            writer.decimal("p999", Double(histogram.percentile(0.999)) / 1000)
            writer.decimal("max", Double(histogram.percentile(1)) / 1000)
        }
    }
}

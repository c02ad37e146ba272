import HeraldCore

/// The counters as Prometheus's text format, version 0.0.4. Names as STYLE.md 31 says; no label is a user's.
struct MetricsText {
    private(set) var text = ""

    init(pipeline: PipelineCounters, waiting: Int, requests: RequestCounters) {
        family("http_answers_total", "counter", "Requests answered, by class of status.")
        for (status, count) in requests.answers {
            sample("http_answers_total", count, label: ("status", status))
        }
        family("http_problems_total", "counter", "Requests refused, by problem code.")
        for (code, count) in requests.problems { sample("http_problems_total", count, label: ("code", code)) }

        counter("pushes_accepted_total", "Pushes taken into the queue.", pipeline.accepted)
        counter("pushes_answered_total", "Pushes answered with verdicts.", pipeline.answered)
        family("pushes_refused_total", "counter", "Pushes that got no verdicts, by code.")
        for code in PushRefusal.Code.all {
            sample("pushes_refused_total", pipeline.refused[code] ?? 0, label: ("code", code.description))
        }
        family("targets_total", "counter", "Targets answered, by verdict.")
        sample("targets_total", pipeline.targetsRouted, label: ("verdict", "routed"))
        sample("targets_total", pipeline.targetsStored, label: ("verdict", "stored"))
        sample("targets_total", pipeline.targetsOffline, label: ("verdict", "offline"))
        sample("targets_total", pipeline.targetsUnreachable, label: ("verdict", "unreachable"))
        sample("targets_total", pipeline.targetsWritten, label: ("verdict", "written"))
        sample("targets_total", pipeline.targetsAcked, label: ("verdict", "acked"))
        sample("targets_total", pipeline.targetsDropped, label: ("verdict", "dropped"))

        gauge("pushes_waiting", "Pushes that wait for their turn.", waiting)
        counter("turns_total", "Turns of the pipeline.", pipeline.turns)
        counter(
            "turn_pushes_total",
            "Pushes of all turns; by turns_total: how many share one.",
            pipeline.turnPushes
        )
        counter("direct_total", "Pushes looked up and published in one step.", pipeline.direct)
        counter("envelopes_total", "Envelopes handed to the bus.", pipeline.envelopes)
        counter(
            "envelopes_missed_total",
            "Envelopes whose channel had no subscriber.",
            pipeline.envelopesMissed
        )
        counter("pushes_retried_total", "Pushes looked up again because a node was missed.", pipeline.retried)
        add(pipeline.follow)

        counter("appends_failed_total", "Messages that no inbox took.", pipeline.appendsFailed)

        histogram(
            "append_duration_seconds",
            "One turn of messages into the inboxes.",
            pipeline.appendDuration
        )
        histogram("push_duration_seconds", "From acceptance to the answer.", pipeline.pushDuration)
        histogram("lookup_duration_seconds", "One look-up of a turn.", pipeline.lookupDuration)
        histogram("publish_duration_seconds", "One publish of a turn.", pipeline.publishDuration)
    }

    mutating func counter(_ name: String, _ help: String, _ value: Int) {
        family(name, "counter", help)
        sample(name, value)
    }

    mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        family(name, "gauge", help)
        sample(name, value)
    }

    private mutating func histogram(_ name: String, _ help: String, _ histogram: DurationHistogram) {
        family(name, "histogram", help)
        var total = 0
        for (bound, count) in zip(DurationHistogram.boundsMicroseconds, histogram.counts) {
            total += count
            sample("\(name)_bucket", total, label: ("le", Self.seconds(bound)))
        }
        sample("\(name)_bucket", histogram.count, label: ("le", "+Inf"))
        text += "herald_logic_\(name)_sum \(Self.seconds(histogram.sumMicroseconds))\n"
        sample("\(name)_count", histogram.count)
    }

    /// Numbers of other parts, under the names that they give.
    mutating func add(_ metrics: [Metric]) {
        for metric in metrics {
            let type = metric.kind == .counter ? "counter" : "gauge"
            text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(type)\n"
            text += "\(metric.name) \(metric.value)\n"
        }
    }

    private mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP herald_logic_\(name) \(help)\n# TYPE herald_logic_\(name) \(type)\n"
    }

    private mutating func sample(_ name: String, _ value: Int, label: (name: String, value: String)? = nil) {
        let labels = label.map { "{\($0.name)=\"\($0.value)\"}" } ?? ""
        text += "herald_logic_\(name)\(labels) \(value)\n"
    }

    private static func seconds(_ microseconds: Int64) -> String { "\(Double(microseconds) / 1_000_000)" }
}

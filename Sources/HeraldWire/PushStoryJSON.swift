public import HeraldCore

/// What became of a push, as `GET /v1/pushes/{id}` tells it. Times are milliseconds since the push was accepted, to
/// the microsecond.
public enum PushStoryJSON {
    public static func write(_ story: PushStory, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("id", story.id.description)
            writer.member("process", story.process)
            writer.member("confirm", story.confirm.rawValue)
            writer.milliseconds("accepted_ms_ago", story.age)
            writer.member(
                "state",
                story.refusal != nil ? "refused" : story.answered == nil ? "waiting" : "answered"
            )
            if let answered = story.answered { writer.milliseconds("answered_after_ms", answered) }
            if let refusal = story.refusal { writer.member("refusal", refusal) }
            writer.array("targets") { writer in
                for target in story.targets { write(target, to: &writer) }
            }
        }
    }

    /// Reads a story as `write` writes it. Fields that are not known are passed over.
    ///
    /// - Throws: what is missing or unknown.
    public static func decode(_ body: [UInt8]) throws(WireError) -> PushStory {
        try lend(body) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: Limits.standard.jsonDepthMax) { reader throws(WireError) in
                try PushStoryReader.story(&reader)
            }
        }
    }

    private static func write(_ target: TargetStory, to writer: inout JSONWriter) {
        writer.object { writer in
            PushJSON.writeMembers(target.verdict, to: &writer)
            if let told = target.told { writer.member("told", told.description) }
            writer.array("steps") { writer in
                for step in target.steps { write(step, to: &writer) }
            }
        }
    }

    private static func write(_ step: TargetStory.Step, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.milliseconds("after_ms", step.after)
            switch step.event {
            case .lookedUp(let nodes):
                writer.member("step", "looked_up")
                writer.array("nodes") { $0.strings(nodes) }
            case .sent(let node, let listening):
                writer.member("step", "sent")
                writer.member("node", node.description)
                writer.member("listening", listening.rawValue)
            case .told(let node, let reach, let isFinal):
                writer.member("step", "receipt")
                writer.member("node", node.description)
                writer.member("final", isFinal)
                writer.member("here", reach != nil)
                guard let reach else { return }
                writer.member("connections", reach.connections)
                writer.member("written", reach.written)
                writer.member("acked", reach.acked)
                writer.member("dropped", reach.dropped)
                if reach.collapsed > 0 { writer.member("collapsed", reach.collapsed) }
            }
        }
    }
}

extension JSONWriter {
    /// A duration in milliseconds with up to three decimals.
    fileprivate mutating func milliseconds(_ name: StaticString, _ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let microseconds = max(0, seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
        var decimals = String(microseconds % 1000)
        decimals = String(repeating: "0", count: 3 - decimals.utf8.count) + decimals
        self.name(name)
        raw("\(microseconds / 1000).\(decimals)".utf8)
    }
}

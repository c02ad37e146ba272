/// What became of one push, for a person who asks "why did alice not get it?".
///
/// Told by the logic process that took the push, for some minutes: as long as it is among the last
/// `Limits.pushesRememberedMax`.
public struct PushStory: Sendable, Equatable {
    public var id: PushID
    /// The process that took it and tells this.
    public var process: String
    public var confirm: ConfirmLevel
    /// How long ago it was accepted.
    public var age: Duration
    /// When its caller was answered, since acceptance; nil: still waits.
    public var answered: Duration?
    /// Why its caller got no verdicts; nil: it did, or still waits.
    public var refusal: String?
    /// In the order in which the caller named them.
    public var targets: [TargetStory]

    public init(
        id: PushID,
        process: String,
        confirm: ConfirmLevel,
        age: Duration,
        answered: Duration?,
        refusal: String? = nil,
        targets: [TargetStory]
    ) {
        self.id = id
        self.process = process
        self.confirm = confirm
        self.age = age
        self.answered = answered
        self.refusal = refusal
        self.targets = targets
    }
}

/// What became of a push for one target.
public struct TargetStory: Sendable, Equatable {
    /// As things stand.
    public var verdict: TargetVerdict
    /// What the caller was told, where more is known since.
    public var told: Verdict?
    /// What was done and heard, oldest first.
    public var steps: [Step]

    public struct Step: Sendable, Equatable {
        /// Since the push was accepted.
        public var after: Duration
        public var event: Event

        public init(after: Duration, _ event: Event) {
            self.after = after
            self.event = event
        }
    }

    public enum Event: Sendable, Equatable {
        /// The route table was asked, and led to these nodes.
        case lookedUp([NodeID])
        /// The push was published to a node.
        case sent(NodeID, Listening)
        /// The last word of a node: how many connections it came to, or nil: nobody of the target is there.
        case told(by: NodeID, Reach?, isFinal: Bool)
    }

    /// Whether anybody listened on a node's channel.
    public enum Listening: String, Sendable, CaseIterable {
        case yes
        /// Nobody, as far as it is known. The message is kept for the node for a while.
        case no
        /// Redis did not confirm the publish.
        case unknown
    }

    public init(verdict: TargetVerdict, told: Verdict? = nil, steps: [Step]) {
        self.verdict = verdict
        self.told = told
        self.steps = steps
    }
}

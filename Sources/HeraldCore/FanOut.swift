/// From pushes and where their targets are, to one batch per node; from what the nodes took, to verdicts.
///
/// Pure, and for many pushes at once: the pipeline asks `lookup(for:)`, gives the answer to `init`, publishes
/// `batches`, and asks `answers(missed:)`. The shape is goim's (look up, group by server, publish); what it
/// adds is that every target gets a verdict of its own.
public struct FanOut: Sendable {
    /// What there is to send, one entry a node, in the order in which the nodes first came up. Within a node the
    /// deliveries keep the order of the pushes.
    public private(set) var batches: [NodeBatch] = []

    private var answersByPush: [PushAnswer] = []
    private var batchIndex: [NodeID: Int] = [:]

    /// The one question that finds all targets of these pushes.
    public static func lookup(for pushes: some Sequence<Push>) -> Lookup {
        var lookup = Lookup()
        for push in pushes {
            for target in push.targets {
                switch target {
                case .user(let user): lookup.users.append(user)
                case .key(let key): lookup.keys.append(key)
                case .room(let room): lookup.rooms.append(room)
                case .everyone: lookup.everyone = true
                }
            }
        }
        return lookup
    }

    /// - Parameters:
    ///   - pushes: in the order in which they were accepted.
    ///   - found: the answer to `lookup(for:)` of the same pushes.
    ///   - query: what a push's deliveries ask, by its place among the pushes; the same on each node.
    public init(
        _ pushes: [Push],
        found: LookupAnswer,
        query: (Int) -> ReceiptQuery? = { _ in nil }
    ) {
        var cursor = Cursor(found: found)
        answersByPush.reserveCapacity(pushes.count)
        for (place, push) in pushes.enumerated() {
            let query = query(place)
            var verdicts: [TargetVerdict] = []
            verdicts.reserveCapacity(push.targets.count)
            var deliveryIndex: [NodeID: Int] = [:]
            for target in push.targets {
                let nodes = cursor.nodes(of: target)
                for node in nodes { add(target, of: push, to: node, query, &deliveryIndex) }
                verdicts.append(
                    TargetVerdict(target: target, verdict: nodes.isEmpty ? .offline : .routed, nodes: nodes)
                )
            }
            answersByPush.append(PushAnswer(id: push.id, verdicts: verdicts))
        }
    }

    /// The verdicts, once it is known which nodes took their batch.
    ///
    /// A target that one of its nodes missed is `unreachable`, even if others took it: `nodes` says which.
    ///
    /// - Parameter missed: the nodes whose channel had no subscriber.
    /// - Returns: one answer for each push, in order.
    public func answers(missed: Set<NodeID>) -> [PushAnswer] {
        guard !missed.isEmpty else { return answersByPush }
        return answersByPush.map { answer in
            var answer = answer
            for index in answer.verdicts.indices {
                let nodes = answer.verdicts[index].nodes
                answer.verdicts[index].nodes = nodes.filter { !missed.contains($0) }
                answer.verdicts[index].missed = nodes.filter(missed.contains)
                if !answer.verdicts[index].missed.isEmpty { answer.verdicts[index].verdict = .unreachable }
            }
            return answer
        }
    }

    private mutating func add(
        _ target: Target,
        of push: Push,
        to node: NodeID,
        _ query: ReceiptQuery?,
        _ deliveryIndex: inout [NodeID: Int]
    ) {
        let batch: Int
        if let known = batchIndex[node] {
            batch = known
        } else {
            batch = batches.count
            batchIndex[node] = batch
            batches.append(NodeBatch(node: node, deliveries: []))
        }
        let isKept = !push.positions.isEmpty
        if let delivery = deliveryIndex[node] {
            batches[batch].deliveries[delivery].targets.append(target)
            if isKept { batches[batch].deliveries[delivery].positions.append(push.positions[target]) }
        } else {
            deliveryIndex[node] = batches[batch].deliveries.count
            batches[batch].deliveries.append(
                Delivery(of: push, to: target, position: isKept ? push.positions[target] : nil, query)
            )
        }
    }
}

extension Delivery {
    /// A push's delivery to one of its targets, as every node gets it that holds the target.
    ///
    /// - Parameters:
    ///   - push: what is delivered.
    ///   - target: one of its targets.
    ///   - position: where it stands in the target's inbox; nil: in none.
    ///   - query: what the sender wants to know.
    public init(of push: Push, to target: Target, position: InboxPosition? = nil, _ query: ReceiptQuery?) {
        self.init(
            push: push.id,
            message: push.message,
            targets: [target],
            positions: push.positions.isEmpty ? [] : [position],
            exclude: Array(push.exclude),
            queuePolicy: push.queuePolicy,
            query: query
        )
    }
}

/// What one node is sent in one turn.
public struct NodeBatch: Sendable, Equatable {
    public var node: NodeID
    public var deliveries: [Delivery]

    public init(node: NodeID, deliveries: [Delivery]) {
        self.node = node
        self.deliveries = deliveries
    }
}

/// Walks a look-up's answer in the order in which `FanOut.lookup(for:)` asked.
private struct Cursor {
    let found: LookupAnswer
    var user = 0
    var key = 0
    var room = 0

    mutating func nodes(of target: Target) -> [NodeID] {
        switch target {
        case .user:
            defer { user += 1 }
            return distinct(found.users[user].map(\.session.node))
        case .key:
            defer { key += 1 }
            return found.keys[key].map { [$0.session.node] } ?? []
        case .room:
            defer { room += 1 }
            return distinct(found.rooms[room].map(\.node))
        case .everyone:
            return found.nodes
        }
    }

    /// A user has few connections and a room few nodes, so that a linear search beats a set.
    private func distinct(_ nodes: [NodeID]) -> [NodeID] {
        guard nodes.count > 1 else { return nodes }
        var result: [NodeID] = []
        for node in nodes where !result.contains(node) { result.append(node) }
        return result
    }
}

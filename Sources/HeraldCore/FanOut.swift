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
    /// Beside each batch: the place of the push that its last delivery is of. A push's deliveries to a node are one.
    private var lastPlace: [Int] = []
    /// The nodes of the batches; searched while they are few, which is nearly always.
    private var nodes: [NodeID] = []
    private var batchIndex: [NodeID: Int] = [:]

    /// Up to here comparing names is faster than hashing one.
    private static let searchedMax = 8

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
            for target in push.targets {
                let nodes = cursor.nodes(of: target)
                for node in nodes { add(target, of: push, at: place, to: node, query) }
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
        at place: Int,
        to node: NodeID,
        _ query: ReceiptQuery?
    ) {
        let batch = batch(of: node)
        let isKept = !push.positions.isEmpty
        if lastPlace[batch] == place {
            let delivery = batches[batch].deliveries.count - 1
            batches[batch].deliveries[delivery].targets.append(target)
            if isKept { batches[batch].deliveries[delivery].positions.append(push.positions[target]) }
        } else {
            lastPlace[batch] = place
            batches[batch].deliveries.append(
                Delivery(of: push, to: target, position: isKept ? push.positions[target] : nil, query)
            )
        }
    }

    private mutating func batch(of node: NodeID) -> Int {
        if nodes.count <= Self.searchedMax {
            for index in nodes.indices where nodes[index] == node { return index }
        } else if let known = batchIndex[node] {
            return known
        }
        let batch = batches.count
        nodes.append(node)
        if nodes.count == Self.searchedMax + 1 {
            for (index, node) in nodes.enumerated() { batchIndex[node] = index }
        }
        if nodes.count > Self.searchedMax { batchIndex[node] = batch }
        lastPlace.append(-1)
        batches.append(NodeBatch(node: node, deliveries: []))
        return batch
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
            // The list of a push with one target is shared, not made again.
            targets: push.targets.count == 1 ? push.targets : [target],
            positions: push.positions.isEmpty ? [] : [position],
            exclude: push.exclude.isEmpty ? [] : Array(push.exclude),
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
    /// The last list of one node: most users are on one, and many on the same.
    private var one: [NodeID] = []

    init(found: LookupAnswer) { self.found = found }

    mutating func nodes(of target: Target) -> [NodeID] {
        switch target {
        case .user:
            defer { user += 1 }
            let routes = found.users[user]
            return routes.count == 1
                ? only(routes[0].session.node) : distinct(routes.map(\.session.node))
        case .key:
            defer { key += 1 }
            return found.keys[key].map { only($0.session.node) } ?? []
        case .room:
            defer { room += 1 }
            return distinct(found.rooms[room].map(\.node))
        case .everyone:
            return found.nodes
        }
    }

    private mutating func only(_ node: NodeID) -> [NodeID] {
        if one.first != node { one = [node] }
        return one
    }

    /// A user has few connections and a room few nodes, so that a linear search beats a set.
    private func distinct(_ nodes: [NodeID]) -> [NodeID] {
        guard nodes.count > 1 else { return nodes }
        var result: [NodeID] = []
        for node in nodes where !result.contains(node) { result.append(node) }
        return result
    }
}

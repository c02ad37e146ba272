import HeraldCore

/// What a pursuit tells its caller.
extension Pursuit {
    /// The verdicts as far as things are known.
    ///
    /// - Parameter isDeaf: whether replies to this process may have been lost since the push was sent.
    /// - Returns: one verdict for each target, in order.
    func answer(isDeaf: Bool) -> PushAnswer {
        let verdicts = push.targets.indices.map { verdict($0, isDeaf: isDeaf) }
        return push.marked(PushAnswer(id: push.id, verdicts: verdicts))
    }

    private func verdict(_ target: Int, isDeaf: Bool) -> TargetVerdict {
        let view = TargetView(target, legs, found: found[target])
        var verdict = TargetVerdict(target: push.targets[target], verdict: .offline)
        var unheard: [NodeID] = []
        var silent: [NodeID] = []
        for (index, told) in view.live {
            let leg = legs[index]
            switch leg.hearing {
            case .somebody: verdict.nodes.append(leg.stop.node)
            case .nobody:
                verdict.missed.append(leg.stop.node)
                unheard.append(leg.stop.node)
            case .unconfirmed: verdict.missed.append(leg.stop.node)
            }
            if told == nil, leg.hearing == .somebody { silent.append(leg.stop.node) }
            if let reach = told?.reach { verdict.reach = (verdict.reach ?? Reach()) + reach }
        }
        guard !view.live.isEmpty else { return verdict }
        let why = Doubt(
            unheard: unheard,
            unconfirmed: verdict.missed.filter { !unheard.contains($0) },
            silent: push.confirm == .routed ? [] : silent,
            isDeaf: isDeaf,
            tries: tries
        )
        if push.confirm == .routed {
            verdict.verdict = verdict.missed.isEmpty ? .routed : .unreachable
            verdict.reason = why.sentence
            return verdict
        }
        weigh(&verdict, why)
        return verdict
    }

    /// The verdict of a push that asks for more than `routed`.
    private func weigh(_ verdict: inout TargetVerdict, _ why: Doubt) {
        let reach = verdict.reach ?? Reach()
        if reach.acked > 0 {
            verdict.verdict = .acked
        } else if reach.written > 0 {
            verdict.verdict = .written
            if push.confirm == .acked {
                let missing =
                    "\(reach.written) of \(count(reach.written, "client")) that got it had not acknowledged it"
                verdict.reason = [missing, why.sentence].compactMap { $0 }.joined(separator: "; ")
            }
        } else if reach.connections > 0, reach.dropped == reach.connections, why.sentence == nil {
            verdict.verdict = .dropped
            verdict.reason = reach.whyDropped
        } else if reach.connections > 0 {
            verdict.verdict = .unreachable
            let waiting = reach.connections - reach.dropped
            let missing = "\(count(waiting, "connection")) had not taken it in time"
            verdict.reason = [missing, why.sentence].compactMap { $0 }.joined(separator: "; ")
        } else if let sentence = why.sentence {
            verdict.verdict = .unreachable
            verdict.reason = sentence
        } else {
            verdict.verdict = .routed
            verdict.reason = "all connections that are there are excluded"
        }
    }
}

extension Reach {
    /// Why the dropped ones are not shown it.
    fileprivate var whyDropped: String {
        var parts: [String] = []
        let full = dropped - collapsed
        if full > 0 { parts.append("the queues of \(count(full, "connection")) had no room for it") }
        if collapsed > 0 {
            parts.append(
                "a newer push with the same collapse key took its place at \(count(collapsed, "connection"))"
            )
        }
        return parts.joined(separator: "; ")
    }
}

/// Why it is not known of some nodes what became of a push.
private struct Doubt {
    var unheard: [NodeID]
    var unconfirmed: [NodeID]
    var silent: [NodeID]
    var isDeaf: Bool
    var tries: Int

    /// Nil when nothing is in doubt.
    var sentence: String? {
        var parts: [String] = []
        if !unheard.isEmpty {
            parts.append("nobody listened on the channel of \(list(unheard)), asked \(tries + 1) times")
        }
        if !unconfirmed.isEmpty {
            parts.append("Redis did not confirm what was sent to \(list(unconfirmed))")
        }
        if !silent.isEmpty {
            parts.append(
                isDeaf
                    ? "replies to this process were cut off, so that nothing is known of \(list(silent))"
                    : "\(list(silent)) did not say in time what became of it"
            )
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }

    private func list(_ nodes: [NodeID]) -> String { nodes.map(\.description).joined(separator: ", ") }
}

private func count(_ number: Int, _ what: String) -> String { "\(number) \(what)\(number == 1 ? "" : "s")" }

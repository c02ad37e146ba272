import HeraldCore

extension PushFollow {
    /// What became of a push.
    ///
    /// - Parameters:
    ///   - id: the push's.
    ///   - process: this process's name.
    ///   - now: the moment.
    /// - Returns: nil when the push is not known, or not any more.
    func story(of id: PushID, process: String, at now: Duration) -> PushStory? {
        guard let number = ring.number(of: id), let record = ring[number] else { return nil }
        let pursuit = pursuits[number]
        let current = pursuit?.answer(isDeaf: isDeaf(since: record.sent)) ?? record.answer
        let isTold = record.answered != nil && record.refusal == nil
        let targets = current.verdicts.enumerated().map { index, verdict in
            let told = record.answer.verdicts[index].verdict
            return TargetStory(
                verdict: verdict,
                told: isTold && told != verdict.verdict ? told : nil,
                steps: steps(index, verdict, record, pursuit)
            )
        }
        return PushStory(
            id: id,
            process: process,
            confirm: record.push.confirm,
            age: now - record.accepted,
            answered: record.answered.map { $0 - record.accepted },
            refusal: record.refusal?.description,
            targets: targets
        )
    }

    private func steps(
        _ target: Int,
        _ verdict: TargetVerdict,
        _ record: PushRecord,
        _ pursuit: Pursuit?
    ) -> [TargetStory.Step] {
        var steps: [TargetStory.Step] = []
        func add(_ moment: Duration, _ event: TargetStory.Event) {
            steps.append(TargetStory.Step(after: moment - record.accepted, event))
        }
        guard let pursuit else {
            add(record.lookedUp, .lookedUp(verdict.nodes))
            let listening: TargetStory.Listening =
                record.refusal == nil && record.answered != nil ? .yes : .unknown
            for node in verdict.nodes { add(record.sent, .sent(node, listening)) }
            return steps
        }
        let legs = pursuit.legs.filter { $0.targets.contains(target) }
        add(record.lookedUp, .lookedUp(legs.filter { $0.round == 0 }.map(\.stop.node)))
        for look in pursuit.looks where look.target == target { add(look.at, .lookedUp(look.nodes)) }
        for leg in legs {
            let node = leg.stop.node
            switch leg.hearing {
            case .somebody: add(leg.sent, .sent(node, .yes))
            case .nobody: add(leg.sent, .sent(node, .no))
            case .unconfirmed: add(leg.sent, .sent(node, .unknown))
            }
            guard let place = leg.targets.firstIndex(of: target), let told = leg.told[place] else { continue }
            add(told.at, .told(by: node, told.reach, isFinal: told.isFinal))
        }
        // Stable: what stands first happened first where the moments are the same.
        return steps.enumerated().sorted { ($0.element.after, $0.offset) < ($1.element.after, $1.offset) }
            .map(\.element)
    }
}

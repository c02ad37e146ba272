/// Measured costs beside what is allowed.
struct CostJudgement {
    /// In the order in which they are shown.
    let operations: [String]
    let measured: [String: Cost]
    let allowed: CostTable
    /// What was measured with.
    let tools: String

    enum Fault: Equatable {
        /// The table does not know the operation, or the operation was not measured.
        case unknown, unmeasured
        case instructions, allocations
    }

    /// What is wrong with an operation; nil: nothing.
    func fault(of operation: String) -> Fault? {
        guard let new = measured[operation] else { return .unmeasured }
        guard let old = allowed.costs[operation] else { return .unknown }
        if new.instructions > old.instructions * (1 + CostTable.instructionsMargin) { return .instructions }
        let slack = CostTable.allocationsSlack(of: old) + old.allocations * CostTable.allocationsMargin
        return new.allocations > old.allocations + slack ? .allocations : nil
    }

    /// Every operation of the table or the program counts: one that vanished from either is no pass.
    var faults: [(operation: String, fault: Fault)] {
        let all = operations + allowed.costs.keys.filter { !operations.contains($0) }.sorted()
        return all.compactMap { name in fault(of: name).map { (name, $0) } }
    }

    var isPassed: Bool { faults.isEmpty }

    /// What `--accept` writes.
    var accepted: CostTable {
        var table = CostTable()
        table.tools = tools
        table.costs = measured
        return table
    }

    // MARK: For people

    var lines: [String] {
        var lines = ["operation         instructions   allowed        change      allocations  allowed"]
        for name in operations {
            guard let new = measured[name] else { continue }
            let old = allowed.costs[name]
            let change = old.map { Percent.change(from: $0.instructions, to: new.instructions) } ?? "new"
            lines.append(
                name.padded(to: 18) + String(Int(new.instructions.rounded())).padded(to: 15)
                    + (old.map { String(Int($0.instructions.rounded())) } ?? "-").padded(to: 15)
                    + change.padded(to: 12) + Decimal.text(new.allocations).padded(to: 13)
                    + (old.map { Decimal.text($0.allocations) } ?? "-")
            )
        }
        lines += faults.map { "\($0.operation): \(Self.words(for: $0.fault))" }
        if !isPassed { lines.append(advice) }
        return lines
    }

    private static func words(for fault: Fault) -> String {
        switch fault {
        case .unknown: "has no line in the table"
        case .unmeasured: "is in the table and was not measured"
        case .instructions: "costs over \(Percent.text(CostTable.instructionsMargin)) more instructions"
        case .allocations: "allocates more often"
        }
    }

    private var advice: String {
        guard allowed.tools == tools else {
            return """
                The table was measured with \(allowed.tools), this with \(tools): if the code is as it was, \
                `scripts/costs --accept` takes the new figures.
                """
        }
        return "If it is worth that, `scripts/costs --accept` takes the new figures, for the reviewer to see."
    }
}

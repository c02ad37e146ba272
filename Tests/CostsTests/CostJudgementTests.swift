import Testing

@testable import costs

struct CostJudgementTests {
    private static let table = """
        # Words.
        # measured with: Swift 6.3.1, glibc 2.36
        parse   1000      2.00
        route   200000    150.00
        """

    private func judgement(
        _ measured: [String: Cost],
        tools: String = "Swift 6.3.1, glibc 2.36"
    ) throws
        -> CostJudgement
    {
        CostJudgement(
            operations: ["parse", "route"],
            measured: measured,
            allowed: try CostTable(text: Self.table),
            tools: tools
        )
    }

    private func judge(
        parse: Cost,
        route: Cost = Cost(instructions: 200_000, allocations: 150)
    ) throws
        -> CostJudgement
    {
        try judgement(["parse": parse, "route": route])
    }

    @Test(arguments: [
        Cost(instructions: 1000, allocations: 2), Cost(instructions: 1050, allocations: 2.5),
        Cost(instructions: 10, allocations: 0),
    ])
    func `what is within the margin passes`(_ parse: Cost) throws {
        let judgement = try judge(parse: parse)
        #expect(judgement.isPassed)
        #expect(judgement.lines.count == 3)
    }

    @Test func `more instructions than the margin allows fail`() throws {
        let judgement = try judge(parse: Cost(instructions: 1051, allocations: 2))
        #expect(!judgement.isPassed)
        #expect(judgement.faults.map(\.operation) == ["parse"])
        #expect(judgement.fault(of: "parse") == .instructions)
        #expect(judgement.lines.contains("parse: costs over 5 % more instructions"))
    }

    @Test func `one more allocation fails where there are few, and 2 % more where there are many`() throws {
        let few = try judge(parse: Cost(instructions: 1000, allocations: 3))
        #expect(few.fault(of: "parse") == .allocations)
        let many = try judge(
            parse: Cost(instructions: 1000, allocations: 2),
            route: Cost(instructions: 200_000, allocations: 153.6)
        )
        #expect(many.fault(of: "route") == .allocations)
        let enough = try judge(
            parse: Cost(instructions: 1000, allocations: 2),
            route: Cost(instructions: 200_000, allocations: 153.4)
        )
        #expect(enough.isPassed)
    }

    @Test func `an operation without a line, and a line without a measurement, fail`() throws {
        let cost = Cost(instructions: 1, allocations: 1)
        let unmeasured = try judgement(["parse": cost])
        #expect(unmeasured.fault(of: "route") == .unmeasured)
        #expect(!unmeasured.isPassed)
        let unknown = CostJudgement(
            operations: ["new"],
            measured: ["new": cost],
            allowed: CostTable(),
            tools: ""
        )
        #expect(unknown.fault(of: "new") == .unknown)
        let vanished = CostJudgement(
            operations: ["parse"],
            measured: ["parse": cost],
            allowed: try CostTable(text: Self.table),
            tools: ""
        )
        #expect(vanished.faults.map(\.operation) == ["route"])
    }

    @Test func `other tools are named when it fails`() throws {
        let cost = Cost(instructions: 9000, allocations: 2)
        let failed = try judgement(["parse": cost, "route": cost], tools: "Swift 7, glibc 3")
        #expect(failed.lines.last?.contains("Swift 6.3.1, glibc 2.36, this with Swift 7, glibc 3") == true)
    }

    @Test func `what is accepted passes when it is read again`() throws {
        let measured = [
            "parse": Cost(instructions: 4321.4, allocations: 0.017),
            "route": Cost(instructions: 5, allocations: 12),
        ]
        let accepted = try judgement(measured).accepted
        let read = try CostTable(text: accepted.text)
        #expect(read.tools == "Swift 6.3.1, glibc 2.36")
        #expect(read.costs["parse"] == Cost(instructions: 4321, allocations: 0.02))
        let again = CostJudgement(
            operations: ["parse", "route"],
            measured: measured,
            allowed: read,
            tools: read.tools
        )
        #expect(again.isPassed)
    }

    @Test(arguments: ["parse 1", "parse one two", "parse -1 2", "parse 1 2 3", "parse 1 2\nparse 1 2"])
    func `a table that cannot be read is no table`(_ text: String) {
        #expect(throws: CostsError.self) { try CostTable(text: text) }
    }
}

import HeraldCore
import Testing

struct JobTests {
    @Test func `an id names its partition, and partitions take turns`() throws {
        var ids = JobIDSource(random: 0xFF_FFFF_FFFF)
        let first = (0..<16).map { _ in ids.next() }
        #expect(first.map(\.partition) == (0..<16).map { $0 % 8 })
        #expect(Set(first).count == 16)
        for id in first { #expect(try JobID(id.description) == id) }
    }

    @Test func `a push's id tells the job, its life and the step`() throws {
        var ids = JobIDSource(random: 1)
        let id = ids.next()
        let created = RedisTime(milliseconds: 1_800_000_000_000)
        #expect(id.push(ofStep: 12, created: created).description == "\(id).1kcc5ok00.12")
        #expect(
            id.push(ofStep: 12, created: created) != id.push(ofStep: 12, created: created + .milliseconds(1))
        )
        let longest = try JobID(String(repeating: "v", count: 39) + "7")
        let push = longest.push(ofStep: .max, created: RedisTime(milliseconds: .max))
        #expect(try PushID(push.description) == push)
    }

    @Test(arguments: ["", "short7", "0123456789", "0123456x9a8", "01234567 1", "01234567{1", "01234567A1"])
    func `what is no id is refused`(_ text: String) {
        #expect(throws: InvalidIdentifier.self) { try JobID(text) }
    }

    @Test func `a caller's key always names the same job`() throws {
        let one = JobID.named(byCaller: "order-42")
        #expect(one == JobID.named(byCaller: "order-42"))
        #expect(try JobID(one.description) == one)
        let many = Set((0..<10_000).map { JobID.named(byCaller: "order-\($0)") })
        #expect(many.count == 10_000)
        let shares = Dictionary(grouping: many, by: \.partition).mapValues(\.count)
        #expect(shares.count == JobID.partitionCount && shares.values.allSatisfy { $0 > 1000 })
    }

    @Test func `a cursor reads what it writes`() throws {
        let cursor = JobCursor(at: RedisTime(milliseconds: 17), id: JobID.named(byCaller: "x"))
        #expect(JobCursor(cursor.description) == cursor)
        for text in ["", ".", "17.", "17", "x.\(cursor.id)", "17.\(cursor.id).1"] {
            #expect(JobCursor(text) == nil)
        }
    }

    @Test func `a slow job has small steps`() {
        let limits = JobLimits()
        #expect([0, 1, 3, 4, 100, 1_000_000].map(limits.stepTargets) == [500, 1, 1, 1, 25, 500])
    }
}

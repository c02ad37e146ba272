import Testing

@testable import costs

struct CallgrindProfileTests {
    /// As valgrind 3.19 writes it, shortened.
    private static let profile = """
        # callgrind format
        version: 1
        creator: callgrind-3.19.0
        positions: line
        events: Ir
        summary: 123456

        ob=(1) /usr/lib/x86_64-linux-gnu/libc.so.6
        fl=(1) ???
        fn=(1) main
        0 12
        cfn=(2) malloc
        calls=3 0
        0 300
        cob=(2) libswiftCore.so
        cfn=(3) swift_retain
        calls=70 0
        0 700
        cfn=(2)
        calls=4 0
        0 400

        fn=(4) realloc
        0 5
        cfn=(4)
        calls=1 0
        0 8
        cfn=(5) calloc'2
        calls=2 0
        0 8
        fn=(2)
        0 1
        cfn=(3)
        calls=9 0
        0 1

        totals: 123456
        """

    @Test func `instructions and calls of the allocator are read`() throws {
        let profile = try CallgrindProfile(text: Self.profile)
        #expect(profile == CallgrindProfile(instructions: 123_456, allocations: 10))
    }

    @Test func `a profile of a program that did not end is none`() {
        #expect(throws: CostsError.self) { try CallgrindProfile(text: "version: 1\nevents: Ir\n") }
    }

    @Test func `what both runs spend alike is left out`() {
        let once = CallgrindProfile(instructions: 1_000_000 + 50 * 300, allocations: 7000 + 50 * 3)
        let twice = CallgrindProfile(instructions: 1_000_000 + 100 * 300, allocations: 7000 + 100 * 3)
        #expect(Cost(from: once, to: twice, count: 50) == Cost(instructions: 300, allocations: 3))
    }
}

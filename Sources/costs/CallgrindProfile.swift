/// What callgrind counted in one run of a program: instructions, and calls of the allocator.
///
/// Of the format (valgrind's manual, "Callgrind Format Specification") only two things are read: `summary:` or
/// `totals:` with the sum of all instructions, and each `calls=` behind a `cfn=` that names the called function. A
/// name is written once, as `(number) name`, and later only as `(number)`.
struct CallgrindProfile: Equatable {
    var instructions: UInt64
    var allocations: UInt64

    /// The functions from which memory comes; `operator new` and Swift's own call these.
    static let allocators: Set = [
        "malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign",
    ]

    init(instructions: UInt64, allocations: UInt64) {
        self.instructions = instructions
        self.allocations = allocations
    }

    init(text: String) throws {
        var names: [Substring: Bool] = [:]
        var isAllocator = false
        var total: UInt64?
        var allocations: UInt64 = 0
        for line in text.split(separator: "\n") {
            if line.hasPrefix("cfn=") {
                isAllocator = Self.isAllocator(line.dropFirst(4), &names)
            } else if line.hasPrefix("fn=") {
                _ = Self.isAllocator(line.dropFirst(3), &names)
            } else if line.hasPrefix("calls=") {
                guard isAllocator else { continue }
                guard let count = UInt64(line.dropFirst(6).prefix { $0 != " " }) else {
                    throw CostsError("callgrind's line '\(line)' has no number of calls")
                }
                allocations += count
            } else if line.hasPrefix("summary: ") || line.hasPrefix("totals: ") {
                let word = line.split(separator: " ").dropFirst().first
                total = word.flatMap { UInt64($0) }
            }
        }
        guard let total, total > 0 else {
            throw CostsError("callgrind's profile has no sum: did the program end?")
        }
        self.init(instructions: total, allocations: allocations)
    }

    /// `name`: `(12) malloc`, `(12)`, or a name without a number; one of a recursion ends with `'2`.
    private static func isAllocator(_ name: Substring, _ names: inout [Substring: Bool]) -> Bool {
        guard name.hasPrefix("("), let end = name.firstIndex(of: ")") else {
            return allocators.contains(String(name.prefix { $0 != "'" }))
        }
        let number = name[...end]
        let rest = name[name.index(after: end)...].drop { $0 == " " }
        guard rest.isEmpty else {
            let isAllocator = allocators.contains(String(rest.prefix { $0 != "'" }))
            names[number] = isAllocator
            return isAllocator
        }
        return names[number] ?? false
    }
}

/// What one operation costs.
struct Cost: Equatable {
    var instructions: Double
    var allocations: Double

    init(instructions: Double, allocations: Double) {
        self.instructions = instructions
        self.allocations = allocations
    }

    /// The difference of two runs, for each time that the second did it more often.
    init(from once: CallgrindProfile, to twice: CallgrindProfile, count: Int) {
        instructions = (Double(twice.instructions) - Double(once.instructions)) / Double(count)
        allocations = (Double(twice.allocations) - Double(once.allocations)) / Double(count)
    }
}

/// Names a job: nine or more of 0-9 and a-v, the last of which is its partition.
///
/// The partition is in the name, so that whoever has the id knows the keys: job `7k2m9q1x013` lies in
/// `herald:jobs:{3}`.
public struct JobID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let description: String
    /// Below `partitionCount`.
    public let partition: Int

    /// How many streams share the work: eight workers never wait for one another, and a look at all of them is one
    /// short turn on the wire.
    public static let partitionCount = 8

    public init(_ text: String) throws(InvalidIdentifier) {
        let bytes = text.utf8
        guard (9...40).contains(bytes.count), bytes.allSatisfy(Self.allows) else {
            throw InvalidIdentifier(kind: "job", rule: "must have 9 to 40 of 0-9 and a-v")
        }
        guard let partition = text.last?.wholeNumberValue, partition < Self.partitionCount else {
            throw InvalidIdentifier(kind: "job", rule: "must end with its partition, 0 to 7")
        }
        description = text
        self.partition = partition
    }

    /// The id of the job that a caller names by a key of its own, so that the same request is the same job: 128 bits
    /// of FNV-1a, which two keys that are not made for it do not share.
    public static func named(byCaller key: String) -> JobID {
        var hash: UInt128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D
        for byte in key.utf8 {
            hash ^= UInt128(byte)
            hash = hash &* 0x0000_0000_0100_0000_0000_0000_0000_013B
        }
        let partition = Int(hash % UInt128(partitionCount))
        let digits = String(hash, radix: 32)
        let zeros = String(repeating: "0", count: 26 - digits.count)
        return JobID(unchecked: "\(zeros)\(digits)\(partition)", partition: partition)
    }

    fileprivate init(unchecked text: String, partition: Int) {
        description = text
        self.partition = partition
    }

    /// The id of the push that carries one step: the same whenever and by whomever the step is carried out, so
    /// that clients drop a step that is repeated. Where a job is forgotten and its name used again, the time of its
    /// making tells the two apart.
    public func push(ofStep step: Int, created: RedisTime) -> PushID {
        PushID(unchecked: "\(self).\(String(created.milliseconds, radix: 32)).\(step)")
    }

    private static func allows(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "v"): true
        default: false
        }
    }

    /// In the order of the bytes.
    public static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

/// Hands out job ids: eight random characters for the process, a counter, the partitions in turn.
public struct JobIDSource: Sendable {
    private let prefix: String
    private var counter: UInt64 = 0

    /// - Parameter random: 40 bits are used; two processes that run at once must draw them by chance.
    public init(random: UInt64) {
        let digits = String(random & 0xFF_FFFF_FFFF, radix: 32)
        prefix = String(repeating: "0", count: 8 - digits.count) + digits
    }

    public mutating func next() -> JobID {
        let partition = Int(counter % UInt64(JobID.partitionCount))
        counter += 1
        return JobID(unchecked: "\(prefix)\(String(counter, radix: 32))\(partition)", partition: partition)
    }
}

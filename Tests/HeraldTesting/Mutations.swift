import Glibc

/// Damages valid input at random: bits flipped, bytes changed, taken out, put in and repeated. The same runs each time.
public enum Mutations {
    /// How many runs there are: 4,000, or what HERALD_MUTATIONS in the environment says.
    public static let runs = getenv("HERALD_MUTATIONS").flatMap { Int(String(cString: $0)) } ?? 4000

    /// Calls `check` with damaged copies of the seeds, a place to cut each at, and the number of the run.
    public static func each(
        of seeds: [[UInt8]],
        _ check: ([UInt8], _ cut: Int, _ run: Int) throws -> Void
    ) rethrows {
        var random = Sequence(state: 6455)
        for run in 0..<runs {
            var bytes = seeds[random.below(seeds.count)]
            for _ in 0..<random.below(6) where !bytes.isEmpty {
                let place = random.below(bytes.count)
                switch random.below(5) {
                case 0: bytes[place] ^= 1 << UInt8(random.below(8))
                case 1: bytes[place] = UInt8(random.below(256))
                case 2: bytes.remove(at: place)
                case 3: bytes.insert(UInt8(random.below(256)), at: place)
                default: bytes += bytes[place..<min(place + 20, bytes.count)]
                }
            }
            try check(bytes, random.below(bytes.count + 1), run)
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    private struct Sequence {
        var state: UInt64

        mutating func below(_ bound: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
            return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
        }
    }
}

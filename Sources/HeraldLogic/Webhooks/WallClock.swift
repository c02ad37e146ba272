import FoundationEssentials
import HeraldCore

/// This machine's own idea of the time, for what is told to others and held against Redis's.
enum WallClock {
    static var now: RedisTime {
        RedisTime(milliseconds: UInt64(max(0, Date().timeIntervalSince1970 * 1000)))
    }
}

import Glibc
import HeraldCore

/// This machine's own idea of the time, for what is told to others and held against Redis's.
enum WallClock {
    static var now: RedisTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return RedisTime(milliseconds: UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000)
    }
}

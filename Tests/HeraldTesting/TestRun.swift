// What kind of run this is, and what may therefore be asked of it. Set by scripts/test.

import Foundation

/// A sanitized program is some times slower and larger.
public enum Sanitizer {
    public static let isOn = ProcessInfo.processInfo.environment["HERALD_TEST_SANITIZER"] != nil
}

/// Whether this run has the time for full sizes and a machine of its own: `scripts/test --soak`.
public enum Soak {
    public static let isOn = ProcessInfo.processInfo.environment["HERALD_TEST_SOAK"] != nil

    public static func size<Size>(_ small: Size, soak large: Size) -> Size { isOn ? large : small }
}

extension Duration {
    /// What a test allows for something that Herald promises within this time.
    ///
    /// A soak holds it to its word. Other runs find what is wrong by far: a machine that others use too stands still
    /// for a second now and then, and that is not Herald's doing.
    public static func promised(_ time: Duration) -> Duration {
        time * (Sanitizer.isOn ? 5 : Soak.isOn ? 1 : 3)
    }
}

extension [Duration] {
    /// The latency by which a test judges; not empty. In a soak the 99th percentile, which is what is promised; else
    /// the median, which some moments in which the machine stands still do not change.
    public var judged: Duration { sorted()[count * (Soak.isOn ? 99 : 50) / 100] }
}

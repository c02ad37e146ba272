/// A number that a part tells of itself, for the page that another part writes (`/metrics`).
public struct Metric: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case gauge, counter }

    public var name: String
    public var help: String
    public var kind: Kind
    public var value: UInt64

    public init(_ kind: Kind, _ name: String, _ help: String, _ value: UInt64) {
        self.name = name
        self.help = help
        self.kind = kind
        self.value = value
    }
}

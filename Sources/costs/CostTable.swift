/// What each operation may cost: `Tests/costs.txt`.
///
/// A line for each: its name, instructions, allocations. A comment says what they were measured with, for
/// another compiler or C library makes other instructions of the same source.
struct CostTable: Equatable {
    var tools = ""
    var costs: [String: Cost] = [:]

    /// More than this over what is allowed is a regression. Repeated runs of one build differ by 0.03 % at most where
    /// all is on one thread, by about 1 % where sockets and threads take part.
    static let instructionsMargin = 0.05
    /// Allocations are whole: half of one more per operation is a regression, or 2 % where there are many.
    static let allocationsMargin = 0.02
    /// Threads that wake each other, in the large operations, allocate a few more or less.
    static func allocationsSlack(of cost: Cost) -> Double { cost.instructions > 500_000 ? 20 : 0.5 }

    private static let toolsMark = "# measured with: "

    init() {}

    init(text: String) throws {
        for line in text.split(separator: "\n") {
            if line.hasPrefix(Self.toolsMark) { tools = String(line.dropFirst(Self.toolsMark.count)) }
            guard !line.hasPrefix("#") else { continue }
            let words = line.split(separator: " ")
            guard words.count == 3, let instructions = Double(words[1]), let allocations = Double(words[2]),
                instructions >= 0, allocations >= 0
            else { throw CostsError("'\(line)' is no name with two numbers") }
            let cost = Cost(instructions: instructions, allocations: allocations)
            guard costs.updateValue(cost, forKey: String(words[0])) == nil else {
                throw CostsError("\(words[0]) is there twice")
            }
        }
    }

    /// What `init(text:)` reads, the operations by name.
    var text: String {
        var text = """
            # What one operation may cost: instructions (as callgrind counts them) and allocations.
            # scripts/costs fails beyond \(Percent.text(Self.instructionsMargin)) more instructions, or \
            \(Percent.text(Self.allocationsMargin)) and half an allocation more (20 of the large ones);
            # scripts/costs --accept writes what it measures. Sources/costs says what each operation is.
            \(Self.toolsMark)\(tools)

            """
        let width = (costs.keys.map(\.count).max() ?? 0) + 2
        for (name, cost) in costs.sorted(by: { $0.key < $1.key }) {
            text += name.padded(to: width) + String(Int(cost.instructions.rounded())).padded(to: 12)
            text += Decimal.text(cost.allocations) + "\n"
        }
        return text
    }
}

/// A number with two digits behind the point.
enum Decimal {
    static func text(_ number: Double) -> String {
        let hundredths = Int((number.magnitude * 100).rounded())
        let sign = number < 0 && hundredths > 0 ? "-" : ""
        let rest = hundredths % 100
        return "\(sign)\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}

/// A share as people write it.
enum Percent {
    /// `5 %`.
    static func text(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

    /// `+1.25 %`, `-0.10 %`.
    static func change(from old: Double, to new: Double) -> String {
        guard old > 0 else { return new > 0 ? "new" : "0" }
        let change = (new / old - 1) * 100
        return (change >= 0 ? "+" : "") + Decimal.text(change) + " %"
    }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}

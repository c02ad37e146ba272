/// Columns for people's eyes: aligned, as wide as their widest cell.
struct TextTable {
    struct Cell: ExpressibleByStringLiteral {
        var text: String
        var colour: Colour?

        init(_ text: String, _ colour: Colour? = nil) {
            self.text = text
            self.colour = colour
        }

        init(stringLiteral text: String) { self.init(text) }
    }

    private let head: [String]
    private var rows: [[Cell]] = []

    init(_ head: String...) { self.head = head }

    mutating func add(_ cells: Cell...) {
        precondition(cells.count == head.count, "a row has a cell for each column")
        rows.append(cells)
    }

    /// `colour`: whether cells are coloured.
    func lines(colour: Bool = Console.hasColour) -> [String] {
        var widths = head.map(\.count)
        for row in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.text.count) }
        }
        let heading = head.map { Cell($0, .heading) }
        return ([heading] + rows).map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell.colour.map { $0(cell.text, if: colour) } ?? cell.text
                if column < row.count - 1 {
                    line += String(repeating: " ", count: widths[column] - cell.text.count + 2)
                }
            }
            return line
        }
    }

    func show() { for line in lines() { Console.say(line) } }
}

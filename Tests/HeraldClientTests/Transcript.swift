import Testing

/// One line of a transcript: what a call answered, and what it should have. `#expect` itself cannot hold a
/// mutating call of a `~Copyable` machine.
func expect<Answer: Equatable>(
    _ answer: Answer,
    _ expected: Answer,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(answer == expected, sourceLocation: sourceLocation)
}

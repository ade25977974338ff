import Foundation

/// What model.json says of the model.
struct ModelDescription: Decodable {
    struct Input: Decodable {
        let width: Int
        let height: Int
    }

    struct Output: Decodable {
        let scale: Double
        let zero_point: Int
        let kind: String
    }

    let name: String
    let input: Input
    let output: Output
    let resize: ResizeRule
    let threshold: Double?
    let classes: [String]
}

struct Score: Identifiable {
    let name: String
    let id: Int
    let probability: Double
}

/// Classes in order of their probability, from the output as it is in the file: a byte a class.
func decodeScores(_ raw: [UInt8], _ model: ModelDescription) -> [Score] {
    var values = raw.map { Double(Int($0) - model.output.zero_point) * model.output.scale }
    if model.output.kind == "logits" {
        let highest = values.max() ?? 0
        let powers = values.map { exp($0 - highest) }
        let sum = powers.reduce(0, +)
        values = powers.map { $0 / sum }
    }
    return zip(model.classes, values).enumerated()
        .map { Score(name: $0.element.0, id: $0.offset, probability: $0.element.1) }
        .sorted { ($1.probability, $0.id) < ($0.probability, $1.id) }
}

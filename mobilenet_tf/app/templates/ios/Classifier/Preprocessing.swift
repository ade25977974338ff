import Foundation

enum ResizeRule: String, Decodable {
    case crop, pad, stretch
}

/// Pixels of any size to the bytes that the model takes: upright, RGB, cropped, padded or stretched,
/// then resized by an antialiased bilinear filter in 22-bit fixed point, as Pillow resizes.
/// Needs Foundation alone.
struct Preprocessing {
    let width: Int
    let height: Int
    let rule: ResizeRule

    /// Return height * width * 3 bytes, red first.
    ///
    /// rgba: four bytes a pixel, rows from the top; alpha is ignored.
    /// orientation: EXIF's, 1 to 8; a rotation of 90, 180 or 270 degrees clockwise is 6, 3 or 8.
    func run(rgba: [UInt8], imageWidth: Int, imageHeight: Int, orientation: Int = 1) -> [UInt8] {
        precondition(imageWidth > 0 && imageHeight > 0 && rgba.count >= 4 * imageWidth * imageHeight)
        precondition((1...8).contains(orientation))
        let turned = orientation >= 5
        let columns = turned ? imageHeight : imageWidth
        let rows = turned ? imageWidth : imageHeight
        let place = Place(columns: columns, rows: rows, width: width, height: height, rule: rule)
        let across = Filter(source: place.sourceWidth, target: place.width)
        let down = Filter(source: place.sourceHeight, target: place.height)

        let mirroredX = [2, 3, 7, 8].contains(orientation)
        let mirroredY = [3, 4, 6, 7].contains(orientation)
        let stepX = mirroredX ? -4 : 4
        let stepY = (mirroredY ? -4 : 4) * imageWidth
        var source = Lines(
            start: 4 * ((mirroredX ? imageWidth - 1 : 0) + (mirroredY ? (imageHeight - 1) * imageWidth : 0)),
            column: turned ? stepY : stepX,
            row: turned ? stepX : stepY)
        source.start += place.top * source.row + place.left * source.column

        var bytes = [UInt8](repeating: 128, count: 3 * width * height)
        let target = Lines(start: 3 * (place.y * width + place.x), column: 3, row: 3 * width)
        // Pillow takes the columns first where height shrinks by more than twice as many pixels.
        if place.sourceHeight > place.height
            && place.sourceHeight - place.height > 2 * (place.sourceWidth - place.width) {
            let middle = Lines(start: 0, column: 3, row: 3 * place.sourceWidth)
            var band = [UInt8](repeating: 0, count: 3 * place.sourceWidth * place.height)
            resize(rgba, source.turned, into: &band, middle.turned, lines: place.sourceWidth, down)
            resize(band, middle, into: &bytes, target, lines: place.height, across)
        } else {
            let middle = Lines(start: 0, column: 3, row: 3 * place.width)
            var band = [UInt8](repeating: 0, count: 3 * place.width * place.sourceHeight)
            resize(rgba, source, into: &band, middle, lines: place.sourceHeight, across)
            resize(band, middle.turned, into: &bytes, target.turned, lines: place.width, down)
        }
        return bytes
    }

    private func resize(
        _ pixels: [UInt8], _ from: Lines, into bytes: inout [UInt8], _ to: Lines, lines: Int, _ filter: Filter
    ) {
        pixels.withUnsafeBufferPointer { pixels in
            for line in 0..<lines {
                for i in 0..<filter.count.count {
                    var red = 1 << (Filter.bits - 1), green = red, blue = red
                    var at = from.start + line * from.row + filter.first[i] * from.column
                    for k in filter.most * i..<filter.most * i + filter.count[i] {
                        let weight = filter.weights[k]
                        red += Int(pixels[at]) * weight
                        green += Int(pixels[at + 1]) * weight
                        blue += Int(pixels[at + 2]) * weight
                        at += from.column
                    }
                    let target = to.start + line * to.row + i * to.column
                    bytes[target] = UInt8(min(255, red >> Filter.bits))
                    bytes[target + 1] = UInt8(min(255, green >> Filter.bits))
                    bytes[target + 2] = UInt8(min(255, blue >> Filter.bits))
                }
            }
        }
    }
}

/// Where pixels lie, in bytes: the first, and how far the next column and row are.
private struct Lines {
    var start: Int
    var column: Int
    var row: Int
    var turned: Lines { Lines(start: start, column: row, row: column) }
}

/// Which part of an upright image goes where in the model's input.
private struct Place {
    var sourceWidth: Int, sourceHeight: Int, width: Int, height: Int
    let left: Int, top: Int, x: Int, y: Int

    init(columns: Int, rows: Int, width: Int, height: Int, rule: ResizeRule) {
        (sourceWidth, sourceHeight, self.width, self.height) = (columns, rows, width, height)
        switch rule {
        case .crop:
            let scale = min(Double(columns) / Double(width), Double(rows) / Double(height))
            sourceWidth = Place.clip(Double(width) * scale, columns)
            sourceHeight = Place.clip(Double(height) * scale, rows)
        case .pad:
            let scale = min(Double(width) / Double(columns), Double(height) / Double(rows))
            self.width = Place.clip(Double(columns) * scale, width)
            self.height = Place.clip(Double(rows) * scale, height)
        case .stretch:
            break
        }
        left = (columns - sourceWidth) / 2
        top = (rows - sourceHeight) / 2
        x = (width - self.width) / 2
        y = (height - self.height) / 2
    }

    private static func clip(_ length: Double, _ most: Int) -> Int {
        min(most, max(1, Int(length.rounded(.toNearestOrEven))))
    }
}

/// For each target pixel: the first source pixel, how many, and their weights.
private struct Filter {
    static let bits = 22
    let most: Int
    var first: [Int], count: [Int], weights: [Int]

    init(source: Int, target: Int) {
        let scale = Double(source) / Double(target)
        let support = max(scale, 1)
        most = 2 * Int(support.rounded(.up)) + 1
        first = [Int](repeating: 0, count: target)
        count = first
        weights = [Int](repeating: 0, count: most * target)
        for i in 0..<target {
            let centre = (Double(i) + 0.5) * scale
            first[i] = max(0, Int(centre - support + 0.5))
            count[i] = min(source, Int(centre + support + 0.5)) - first[i]
            let exact = (0..<count[i]).map { j in
                max(0, 1 - abs((Double(j + first[i]) - centre + 0.5) * (1 / support)))
            }
            let sum = exact.reduce(0, +)
            for j in 0..<count[i] {
                weights[most * i + j] = Int(0.5 + exact[j] / sum * Double(1 << Filter.bits))
            }
        }
    }
}

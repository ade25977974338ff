let classifier = try Classifier() // for one thread at a time
let pixels = UIImage(contentsOfFile: path).flatMap(readPixels) // nil: no image that can be read
let best = try pixels.map { try classifier.classify($0).scores[0] }

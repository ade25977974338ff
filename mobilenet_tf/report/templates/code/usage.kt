val classifier = Classifier(assets) // for one thread at a time
val pixels = loadImage(contentResolver, uri) // null: no image that can be read
val best = pixels?.let { classifier.classify(it).scores.first() }

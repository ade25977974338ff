package androidx.activity.result

import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia

class ActivityResultLauncher<I> {
    fun launch(input: I) {}
}

class PickVisualMediaRequest

fun PickVisualMediaRequest(type: PickVisualMedia.VisualMediaType) = PickVisualMediaRequest()

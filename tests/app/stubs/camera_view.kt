package androidx.camera.view

import android.content.Context
import androidx.camera.core.Preview

class PreviewView(context: Context) {
    val surfaceProvider: Preview.SurfaceProvider = object : Preview.SurfaceProvider {}
}

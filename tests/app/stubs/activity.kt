package androidx.activity

import android.content.Context
import android.os.Bundle
import androidx.activity.result.ActivityResultLauncher
import androidx.activity.result.contract.ActivityResultContract
import androidx.lifecycle.LifecycleOwner

open class ComponentActivity : Context(), LifecycleOwner {
    open fun onCreate(savedInstanceState: Bundle?) {}
    open fun onDestroy() {}
    fun runOnUiThread(action: () -> Unit) = action()
    fun <I, O> registerForActivityResult(
        contract: ActivityResultContract<I, O>, callback: (O) -> Unit,
    ): ActivityResultLauncher<I> = ActivityResultLauncher()
}

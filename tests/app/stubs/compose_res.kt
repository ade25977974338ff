package androidx.compose.ui.res

import androidx.compose.runtime.Composable

@Composable
fun stringResource(id: Int, vararg values: Any): String = "$id ${values.size}"

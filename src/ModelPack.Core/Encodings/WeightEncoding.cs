namespace ModelPack;

/// <summary>
/// A node of the tree that says how a weight is stored (architecture, section 3). A <see cref="StructuredEncoding"/> composes
/// component tensors; a <see cref="DenseEncoding"/> is a number format over byte streams. Codecs belong to the streams and are
/// chosen when the artifact is written. Immutable; passes replace trees, they never change them.
/// </summary>
/// <param name="Shape">The shape of the values this node stands for.</param>
public abstract record WeightEncoding(Shape Shape)
{
    /// <summary>One line for <c>inspect</c>, for example <c>permuted(perm=1x0) > int4(block=32)</c>.</summary>
    public abstract string Describe();

    public sealed override string ToString() => Describe();
}

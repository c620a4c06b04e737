namespace ModelPack.Toolchain;

/// <summary>Names of tensors as checkpoints and GGUF files write them: a module, a dot, and what the tensor is of it.</summary>
internal static class GgufTensorNames
{
    /// <summary>Module and <c>weight</c> or <c>bias</c>; null for other names.</summary>
    public static (string Module, string Kind)? Split(string tensor)
    {
        int dot = tensor.LastIndexOf('.');
        string kind = tensor[(dot + 1)..];
        return dot < 0 || kind is not ("weight" or "bias") ? null : (tensor[..dot], kind);
    }
}

namespace ModelPack;

public static partial class ErrorCodes
{
    // MP1150-1169: checkpoint folders.
    public static readonly ErrorCode CheckpointWithoutTensors = new(1150, "a folder without safetensors files");
    public static readonly ErrorCode CheckpointAmbiguous = new(1151, "a folder with several checkpoints");
    public static readonly ErrorCode IndexTooLarge = new(1152, "a checkpoint index that is too long");
    public static readonly ErrorCode IndexNotJson = new(1153, "a checkpoint index that is not JSON");
    public static readonly ErrorCode IndexDuplicateKey = new(1154, "a key given twice in a checkpoint index");
    public static readonly ErrorCode IndexWithoutWeightMap = new(1155, "a checkpoint index without weight_map");
    public static readonly ErrorCode IndexBadWeightMap = new(1156, "a weight_map that is not an object of file names");
    public static readonly ErrorCode CheckpointPathAbsolute = new(1157, "an absolute path where a checkpoint needs a relative one");
    public static readonly ErrorCode CheckpointPathOutside = new(1158, "a path of a checkpoint that is not plainly below its folder");
    public static readonly ErrorCode CheckpointLinkOutside = new(1159, "a symbolic link that leads out of the checkpoint folder");
    public static readonly ErrorCode ShardMissing = new(1160, "a file named by a checkpoint index that does not exist");
    public static readonly ErrorCode TensorNotInShard = new(1161, "a tensor that is not in the file the checkpoint index names");
    public static readonly ErrorCode TensorNotInIndex = new(1162, "a tensor that the checkpoint index does not name");
    public static readonly ErrorCode TensorInTwoShards = new(1163, "a tensor that is in two files of a checkpoint");

    // MP1170-1179: what tensors of a checkpoint mean together.
    public static readonly ErrorCode Fp8BlockScale = new(1170, "block scales of an FP8 checkpoint that are missing, have no weight, or do not fit it");

    // MP1180-1199: writing checkpoint folders.
    public static readonly ErrorCode CheckpointFileClash = new(1180, "two files of a checkpoint with the same path");
    public static readonly ErrorCode CheckpointFolderOccupied = new(1181, "a folder that already holds another checkpoint");
}
